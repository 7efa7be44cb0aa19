//! Refused refreshes, and stored sessions at the end of a range, damaged, or of a later release:
//! each has its own reason or error, and nothing is lost.

use std::sync::{Barrier, Mutex};

use relatch::{
    Authority, BindingMode, IssueError, Reason, Rejection, SessionPolicy, SessionTokens, Token,
    VerifyError,
    authority::{Committed, RefreshError, Refreshed, Stage},
    sessions::{OnReuse, SessionTable},
    user::RecordError,
};
use time::Duration;

use crate::{
    common::{
        Account, START, TestClock, account, authority, builder, copy, present, reason,
        refresh_reason, verify,
    },
    forge::Forged,
};

const MAX: u64 = i64::MAX.unsigned_abs();

fn start(authority: &Authority, user: &mut Account) -> SessionTokens {
    let decision = authority.start_session(user, "phone").unwrap();
    user.commit(decision)
}

fn rejection<T>(outcome: Result<T, RefreshError>) -> Rejection {
    match outcome.map(drop) {
        Err(RefreshError::Rejected(rejection)) => rejection,
        other => panic!("not a rejection: {other:?}"),
    }
}

/// The record with part of its column's text replaced.
fn stored(user: &Account, from: &str, to: &str) -> Account {
    let column = user.sessions.to_column().unwrap();
    assert!(column.contains(from), "{from} is not in {column}");
    let sessions = SessionTable::from_column(Some(&column.replacen(from, to, 1))).unwrap();
    Account { sessions, ..user.clone() }
}

#[test]
fn a_refresh_token_is_dead_at_its_end() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let end = tokens.session().expires_at();
    assert_eq!(end, clock.at(14 * 86_400));
    clock.set(14 * 86_400 - 1);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    assert_eq!(opened.expires_at(), end);
    assert!(opened.refresh(&alice).is_ok());
    clock.set(14 * 86_400);
    let late = rejection(opened.refresh(&alice));
    assert_eq!((late.stage(), late.reason()), (Stage::Validity, Reason::Expired));
    let late = authority.open_refresh(copy(tokens.refresh())).unwrap_err();
    assert_eq!((late.stage(), late.reason()), (Stage::Validity, Reason::Expired));
}

#[test]
fn a_session_that_is_over_by_a_shorter_policy_is_not_refreshed() {
    let clock = TestClock::new();
    let generous = builder(&clock).build().unwrap();
    let policy = SessionPolicy::new().idle_lifetime(Duration::seconds(100)).max_sessions(1);
    let strict = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let tokens = [(); 2].map(|()| start(&generous, &mut alice));
    let second_slot = copy(tokens[1].refresh());
    let rejected = rejection(present(&strict, &mut alice, second_slot));
    assert_eq!((rejected.stage(), rejected.reason()), (Stage::Session, Reason::SlotOutOfRange));
    clock.set(99);
    let mut in_time = alice.clone();
    assert!(present(&strict, &mut in_time, copy(tokens[0].refresh())).is_ok());
    clock.set(100);
    let rejected = rejection(present(&strict, &mut alice, copy(tokens[0].refresh())));
    assert_eq!((rejected.stage(), rejected.reason()), (Stage::Session, Reason::SessionExpired));
}

#[test]
fn the_user_must_be_there_be_the_right_one_and_be_active() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    let unknown = opened.unknown_user();
    assert_eq!((unknown.stage(), unknown.reason()), (Stage::Lookup, Reason::UnknownUser));
    let disabled = Account { active: false, ..alice.clone() };
    let bob = Account { id: "bob".into(), ..alice.clone() };
    for (user, why) in [(disabled, Reason::InactiveUser), (bob, Reason::UserMismatch)] {
        let refused = rejection(opened.refresh(&user));
        assert_eq!((refused.stage(), refused.reason()), (Stage::Lookup, why));
    }
    assert!(opened.refresh(&alice).is_ok(), "nothing is used up");
}

#[test]
fn whatever_revokes_an_access_token_revokes_the_refresh_token() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let token = || copy(tokens.refresh());
    let with = |change: fn(&mut Account)| {
        let mut user = alice.clone();
        change(&mut user);
        user
    };
    for (user, why) in [
        (with(|user| user.version += 1), Reason::RevokedByVersion),
        (with(|user| user.password_hash.push('x')), Reason::BadSignature),
        (with(|user| user.password_hash.clear()), Reason::NoCredential),
    ] {
        assert_eq!(refresh_reason(&authority, &user, token()), why);
        assert_eq!(reason(verify(&authority, tokens.access(), &user)), why);
    }
    let bumped = with(|user| user.version += 1);
    let after = start(&authority, &mut bumped.clone());
    assert_eq!(refresh_reason(&authority, &alice, copy(after.refresh())), Reason::AheadOfRecord);
    let negative = present(&authority, &mut with(|user| user.version = -1), token());
    assert!(matches!(negative, Err(RefreshError::Record(RecordError::NegativeCounter))));
}

#[test]
fn a_payload_that_was_changed_is_refused_and_reports_nothing() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let [header, payload, signature] =
        <[_; 3]>::try_from(tokens.refresh().expose().split('.').collect::<Vec<_>>()).unwrap();
    let payload = String::from_utf8(B64.decode(payload).unwrap()).unwrap();
    for (from, to, stage, why) in [
        (",\"seq\":0", "", Stage::Claims, Reason::Malformed),
        ("\"seq\":0", "\"seq\":-1", Stage::Claims, Reason::Malformed),
        ("\"seq\":0", "\"seq\":9223372036854775808", Stage::Claims, Reason::Malformed),
        ("\"sid\":\"0.", "\"sid\":\"00.", Stage::Claims, Reason::Malformed),
        ("\"seq\":0", "\"seq\":0,\"lane\":0", Stage::Claims, Reason::Malformed),
        ("\"seq\":0", "\"seq\":1", Stage::Binding, Reason::BadSignature),
        ("\"sid\":\"0.", "\"sid\":\"1.", Stage::Binding, Reason::BadSignature),
        ("\"seq\":0", "\"seq\":0,\"role\":\"admin\"", Stage::Binding, Reason::BadSignature),
    ] {
        assert!(payload.contains(from), "{from}");
        let text = format!("{header}.{}.{signature}", B64.encode(payload.replacen(from, to, 1)));
        let refused = rejection(present(&authority, &mut alice, Token::new(text)));
        assert_eq!((refused.stage(), refused.reason()), (stage, why), "{to}");
    }
}

#[test]
fn a_genuine_token_with_claims_of_its_own_is_refused() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let like = forged_like(&tokens);
    let token = like.sign(&alice);
    assert_eq!(token.expose(), tokens.refresh().expose(), "made outside, and the same");
    let token = Forged { more: ",\"role\":\"admin\"", ..like }.sign(&alice);
    let opened = authority.open_refresh(token).unwrap();
    for refused in [rejection(opened.refresh(&alice)), rejection(opened.log_out(&alice))] {
        assert_eq!(
            (refused.stage(), refused.reason()),
            (Stage::Application, Reason::ApplicationClaims)
        );
    }
}

fn forged_like(tokens: &SessionTokens) -> Forged {
    let id = tokens.session().id().to_string();
    let (slot, generation) = id.split_once('.').unwrap();
    Forged {
        slot: slot.parse().unwrap(),
        generation: generation.parse().unwrap(),
        seq: 0,
        iat: START,
        exp: START + 14 * 86_400,
        more: "",
    }
}

#[test]
fn a_session_is_refreshed_up_to_the_last_number_and_no_further() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let like = forged_like(&start(&authority, &mut alice));
    let at_end = stored(&alice, "\"seq\":0", &format!("\"seq\":{}", MAX - 1));
    let last = Forged { seq: MAX - 1, ..like }.sign(&alice);
    let mut after = at_end.clone();
    let tokens = present(&authority, &mut after, last).unwrap().into_tokens().unwrap();
    assert_eq!(tokens.refresh().expose(), Forged { seq: MAX, ..like }.sign(&alice).expose());
    let refused = rejection(present(&authority, &mut after, copy(tokens.refresh())));
    assert_eq!((refused.stage(), refused.reason()), (Stage::Session, Reason::SequenceExhausted));
    // The session lasts until it expires. Grace and reuse detection work as usual.
    assert!(verify(&authority, tokens.access(), &after).is_ok());
    let predecessor = Forged { seq: MAX - 1, ..like }.sign(&alice);
    let outcome = present(&authority, &mut after, predecessor).unwrap();
    assert!(matches!(outcome, Refreshed::Repeated(..)));
    let outcome = present(&authority, &mut after, Forged { seq: MAX - 2, ..like }.sign(&alice));
    assert!(matches!(outcome, Ok(Refreshed::Reused(_))));
    // A number that no column can hold is malformed.
    let beyond = Forged { seq: MAX + 1, ..like }.sign(&alice);
    let refused = authority.open_refresh(beyond).unwrap_err();
    assert_eq!((refused.stage(), refused.reason()), (Stage::Claims, Reason::Malformed));
}

#[test]
fn where_the_generations_are_used_up_nobody_starts_and_everybody_can_end() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().on_reuse(OnReuse::EndAllSessions);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let id = tokens.session().id();
    let verified = verify(&authority, tokens.access(), &alice).unwrap();
    let generation = id.to_string()[2..].to_owned();
    let full = stored(&alice, &generation, &MAX.to_string());
    let exhausted = |error| matches!(error, IssueError::Record(RecordError::Exhausted));
    assert!(exhausted(authority.start_session(&full, "x").unwrap_err()));
    let others = |user: &Account| {
        let issue = authority.issue::<relatch::Access>(user, &relatch::NoClaims {});
        issue.log_out_others(&verified).map(drop)
    };
    assert!(exhausted(others(&full).unwrap_err()));

    let is_over = |user: &Account| {
        assert!(authority.sessions(user).unwrap().is_empty());
        assert!(verify(&authority, tokens.access(), user).is_err());
    };
    let mut rotated = full.clone();
    let second = present(&authority, &mut rotated, copy(tokens.refresh())).unwrap();
    assert!(matches!(second, Refreshed::Rotated(_)));
    clock.set(11);
    let outcome = present(&authority, &mut rotated, copy(tokens.refresh())).unwrap();
    assert_eq!(outcome.event().unwrap().ended_sessions(), 1);
    assert_eq!(reason(verify(&authority, tokens.access(), &rotated)), Reason::SessionEnded);
    let [mut one, mut those, mut all] = [(); 3].map(|()| full.clone());
    assert!(one.commit(authority.log_out(&full, id).unwrap()));
    assert_eq!(those.commit(authority.log_out_where(&full, |_| true).unwrap()), 1);
    all.commit(authority.log_out_everywhere(&full).unwrap());
    [one, those, all].iter().for_each(is_over);

    // For a free slot, every generation up to the table's top has ended.
    let free = format!(r#"{{"format":1,"generation":{generation},"sessions":[]}}"#);
    let freed =
        Account { sessions: SessionTable::from_column(Some(&free)).unwrap(), ..alice.clone() };
    assert_eq!(reason(verify(&authority, tokens.access(), &freed)), Reason::SessionEnded);

    let last_version = Account { version: i64::MAX, ..alice };
    let error = authority.log_out_everywhere(&last_version).unwrap_err();
    assert_eq!(error, RecordError::Exhausted);
    let last = verify(&authority, &authority.issue_for_user(&last_version).unwrap(), &last_version);
    assert!(last.is_ok());
}

#[test]
fn a_lost_compare_and_set_hands_out_nothing_and_the_same_token_is_tried_again() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    let read = alice.clone();
    let decision = opened.refresh(&read).unwrap();
    let _ = start(&authority, &mut alice);
    let committed = decision.commit(|change| Ok::<_, ()>(alice.compare_and_set(&read, change)));
    assert!(committed.unwrap().stored().is_none());
    let decision = opened.refresh(&alice).unwrap();
    assert!(alice.commit(decision).into_tokens().is_ok());
}

#[test]
fn a_store_s_error_passes_through_and_hands_out_nothing() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    let decision = opened.refresh(&alice).unwrap();
    assert_eq!(decision.commit(|_| Err("connection lost")).unwrap_err(), "connection lost");
    assert!(opened.refresh(&alice).is_ok());
}

#[tokio::test]
async fn an_awaited_store_is_treated_alike() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    let decide = || opened.refresh(&alice).unwrap();
    let error = decide().commit_async(async |_| Err("connection lost")).await.unwrap_err();
    assert_eq!(error, "connection lost");
    assert!(decide().commit_async(async |_| Ok::<_, ()>(false)).await.unwrap().stored().is_none());
    let row = Mutex::new(alice.clone());
    let store = async |change| Ok::<_, ()>(row.lock().unwrap().compare_and_set(&alice, &change));
    let refreshed = decide().commit_async(store).await.unwrap().stored().unwrap();
    let after = row.into_inner().unwrap();
    assert!(verify(&authority, refreshed.into_tokens().unwrap().access(), &after).is_ok());
    // With nothing to store, the store is not called.
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    let again = opened.refresh(&after).unwrap().commit_async(async |_| Err("asked")).await;
    assert!(matches!(again, Ok(Committed::Stored(Refreshed::Repeated(..)))));
}

#[test]
fn two_threads_with_one_token_get_one_successor() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let (row, both_have_read) = (Mutex::new(alice), Barrier::new(2));
    let refresh = || {
        let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
        let mut read = row.lock().unwrap().clone();
        both_have_read.wait();
        let mut tries = 0;
        loop {
            tries += 1;
            let decision = opened.refresh(&read).unwrap();
            let store =
                |change: &_| Ok::<_, ()>(row.lock().unwrap().compare_and_set(&read, change));
            if let Committed::Stored(refreshed) = decision.commit(store).unwrap() {
                return (refreshed, tries);
            }
            read = row.lock().unwrap().clone();
        }
    };
    let both = std::thread::scope(|scope| {
        [scope.spawn(refresh), scope.spawn(refresh)].map(|thread| thread.join().unwrap())
    });
    let rotated =
        both.iter().filter(|(it, tries)| matches!(it, Refreshed::Rotated(_)) && *tries == 1);
    assert_eq!(rotated.count(), 1);
    let repeated = both.iter().filter(|(it, _)| matches!(it, Refreshed::Repeated(..)));
    assert_eq!(repeated.count(), 1);
    let [one, two] = both.map(|(it, _)| it.into_tokens().unwrap().refresh().expose().to_owned());
    assert_eq!(one, two);
}

#[test]
fn a_damaged_column_is_a_failure_of_the_lookup_and_says_nothing_of_the_token() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let mut alice = account("alice");
        let tokens = start(&authority, &mut alice);
        let good = alice.sessions.to_column().unwrap();
        let cases = [
            (String::new(), false),
            (good[..good.len() / 2].to_owned(), false),
            (good.replace("phone", "ph\u{0}ne"), false),
            (good.replace("\"slot\":0", "\"slot\":64"), false),
            (good.replace("\"seq\":0", "\"seq\":0,\"role\":\"admin\""), false),
            (good.replace("\"format\":1", "\"format\":2"), true),
            ("{\"format\":2,\"later\":[]}".to_owned(), true),
        ];
        for (column, is_later) in cases {
            let lookup = |_: &str| {
                let sessions = SessionTable::from_column(Some(&column))?;
                Ok::<_, relatch::ParseError>(Some(Account { sessions, ..alice.clone() }))
            };
            let outcome = authority.verify(tokens.access(), lookup);
            let VerifyError::Lookup(error) = outcome.unwrap_err() else { panic!("{column}") };
            assert_eq!(error.is_unknown_format(), is_later, "{column}");
        }
        assert!(verify(&authority, tokens.access(), &alice).is_ok());
    }
}

#[test]
fn no_refresh_token_is_made_that_could_not_be_read() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let last = 253_402_300_799 - START;
    clock.set(last - 14 * 86_400);
    let tokens = start(&authority, &mut alice);
    assert!(authority.open_refresh(copy(tokens.refresh())).is_ok());
    clock.set(last - 14 * 86_400 + 1);
    let error = authority.start_session(&alice, "phone").unwrap_err();
    assert!(matches!(error, IssueError::Clock), "it would expire after the year 9999: {error:?}");
}

#[test]
fn a_session_that_comes_back_by_a_clock_set_back_is_the_same_and_not_a_new_one() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    clock.set(14 * 86_400);
    assert!(authority.sessions(&alice).unwrap().is_empty());
    clock.set(0);
    assert_eq!(authority.sessions(&alice).unwrap(), std::slice::from_ref(tokens.session()));
    // A login takes the slot permanently.
    clock.set(14 * 86_400);
    let _ = start(&authority, &mut alice);
    clock.set(0);
    assert_eq!(reason(verify(&authority, tokens.access(), &alice)), Reason::SessionEnded);
}
