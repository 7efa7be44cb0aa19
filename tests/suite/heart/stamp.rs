//! Stamp mode: what the stamp covers, and which purposes have one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use relatch::{
    Access, Authority, BindingMode, Context, IssueError, NoClaims, Purpose, Reason, Token,
    VerifyError,
    authority::Stage,
    one_time::{EmailConfirmation, Invitation, PasswordReset},
};

use crate::{
    common::{
        Account, Download, MagicLink, Role, TestClock, account, builder, reason, role, verify,
    },
    forge,
};

fn stamped() -> Authority {
    builder(&TestClock::new()).mode(BindingMode::StampHs256).build().unwrap()
}

/// A purpose whose tokens are in the mode of the authority.
struct Partner;

impl Purpose for Partner {
    type Claims = NoClaims;
    const TYP: &'static str = "partner+jwt";
    const PORTABLE: bool = true;
}

fn parts(text: &str) -> (String, String) {
    let mut parts = text.split('.');
    let header = parts.next().unwrap().to_owned();
    (header, String::from_utf8(B64.decode(parts.next().unwrap()).unwrap()).unwrap())
}

/// The thief signs again with the server's key, so that only the stamp can tell.
#[test]
fn a_stolen_signing_key_and_a_live_token_change_no_claim() {
    let authority = stamped();
    let mut alice = account("alice");
    let started = authority.start_session(&alice, "phone").unwrap();
    let _ = alice.commit(started);
    let own = role("user");
    let started = authority.issue::<Access<Role>>(&alice, &own).start_session("laptop").unwrap();
    let tokens = alice.commit(started);
    let (_, payload) = parts(tokens.access().expose());
    let key = forge::server_key("at+jwt");
    let present = |payload: &[u8]| {
        let token = Token::<Access<Role>>::new(forge::sign("at+jwt", payload, &key));
        verify(&authority, &token, &alice)
    };
    assert_eq!(present(payload.as_bytes()).unwrap().claims(), &own);
    let jti = payload.split(r#""jti":""#).nth(1).unwrap()[..22].to_owned();
    for (from, to) in [
        (r#""role":"user""#, r#""role":"admin""#),
        (r#""sid":"1."#, r#""sid":"0."#),
        (r#""exp":4"#, r#""exp":5"#),
        (r#""iat":4"#, r#""iat":3"#),
        (jti.as_str(), "AAAAAAAAAAAAAAAAAAAAAA"),
        (r#","role""#, r#","admin":true,"role""#),
        (r#","role""#, r#", "role""#),
        (r#","role":"user""#, ""),
    ] {
        assert!(payload.contains(from), "{from}");
        let changed = payload.replacen(from, to, 1);
        let error = present(changed.as_bytes()).unwrap_err();
        let VerifyError::Rejected(rejection) = error else { panic!("not a rejection") };
        let expected = (Stage::Binding, Reason::RevokedByStamp);
        assert_eq!((rejection.stage(), rejection.reason()), expected, "{changed}");
    }
    for at in 0..payload.len() {
        let mut changed = payload.clone().into_bytes();
        changed[at] ^= 1;
        assert!(present(&changed).is_err(), "{at}");
    }
}

/// Another program can sign a token that relatch stamped. The stamp fits no other header or payload.
#[test]
fn what_another_program_signs_can_be_stamped() {
    let (authority, alice) = (stamped(), account("alice"));
    let (header, payload) = parts(authority.issue_for_user(&alice).unwrap().expose());
    let (before, own) = payload.rsplit_once(r#","stamp":"#).unwrap();
    let context = Context::new();
    let stamp = |header: &str, payload: &str| {
        authority.danger_expose_stamp::<Access>(&alice, &context, header, payload).unwrap()
    };
    assert_eq!(own, format!("\"{}\"}}", stamp(&header, before)));
    assert_ne!(stamp(&forge::header("other+jwt"), before), stamp(&header, before));

    let before = format!(r#"{before},"role":"admin""#);
    let payload = format!(r#"{before},"stamp":"{}"}}"#, stamp(&header, &before));
    let text = forge::sign("at+jwt", payload, &forge::server_key("at+jwt"));
    let token = Token::<Access<Role>>::new(text);
    assert_eq!(verify(&authority, &token, &alice).unwrap().claims(), &role("admin"));
    let changed = Account { password_hash: "$argon2id$other".into(), ..alice };
    assert_eq!(reason(verify(&authority, &token, &changed)), Reason::RevokedByStamp);
}

/// PyJWT and others ignore `typ`: a verifier that has only the server's key must not take a reset
/// link for an access token.
#[test]
fn only_portable_purposes_are_in_stamp_mode() {
    let authority = stamped();
    let mut alice = account("alice");
    let is_stamped = |text: &str| parts(text).1.contains("\"stamp\"");
    fn text<P: Purpose<Claims = NoClaims>>(authority: &Authority, user: &Account) -> String {
        let context = Context::new().with_email("alice@example.com");
        let issue = authority.issue::<P>(user, &NoClaims {}).context(context);
        issue.sign().unwrap().expose().to_owned()
    }
    assert!(is_stamped(&text::<Access>(&authority, &alice)));
    assert!(is_stamped(&text::<Partner>(&authority, &alice)));
    for other in [
        text::<MagicLink>(&authority, &alice),
        text::<PasswordReset>(&authority, &alice),
        text::<Download>(&authority, &alice),
    ] {
        assert!(!is_stamped(&other), "{other}");
    }
    let portable = [<Invitation>::PORTABLE, <EmailConfirmation>::PORTABLE, <Access>::PORTABLE];
    assert_eq!(portable, [false, false, true]);
    let started = authority.start_session(&alice, "phone").unwrap();
    assert!(!is_stamped(alice.commit(started).refresh().expose()));

    // Each verifies at its own authority.
    let download = Token::<Download>::new(
        authority.issue::<Download>(&alice, &NoClaims {}).sign().unwrap().expose(),
    );
    assert!(verify(&authority, &download, &alice).is_ok());
}

/// RFC 2045 §5.1: media types are compared without regard to case, so a verifier may take the tokens
/// of one of these purposes for those of the other.
#[test]
fn two_types_that_differ_only_in_case_do_not_meet_in_one_authority() {
    struct Upper;
    impl Purpose for Upper {
        type Claims = NoClaims;
        const TYP: &'static str = "Download+JWT";
    }
    struct Carried;
    impl Purpose for Carried {
        type Claims = NoClaims;
        const TYP: &'static str = Download::TYP;
        const PORTABLE: bool = true;
    }

    let (authority, alice) = (stamped(), account("alice"));
    let elsewhere = stamped();
    let upper = elsewhere.issue::<Upper>(&alice, &NoClaims {}).sign().unwrap();
    assert!(verify(&elsewhere, &upper, &alice).is_ok(), "alone it is good");

    let download = authority.issue::<Download>(&alice, &NoClaims {}).sign().unwrap();
    let error = authority.issue::<Upper>(&alice, &NoClaims {}).sign().unwrap_err();
    assert!(matches!(error, IssueError::AmbiguousType { typ: "Download+JWT" }), "{error:?}");
    assert!(error.to_string().contains("Download+JWT"), "{error}");
    assert_eq!(reason(verify(&authority, &upper, &alice)), Reason::WrongType);
    let other_mode = authority.issue::<Carried>(&alice, &NoClaims {}).sign().unwrap_err();
    assert!(matches!(other_mode, IssueError::AmbiguousType { .. }), "{other_mode:?}");
    let carried = Token::<Carried>::new(download.expose());
    assert_eq!(reason(verify(&authority, &carried, &alice)), Reason::WrongType);
    assert!(verify(&authority, &download, &alice).is_ok(), "the first stays good");
}
