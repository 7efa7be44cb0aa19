//! Keys cached beside a record: verdicts are the same with and without them, whatever was derived
//! before. The tests never replace a cache, though applications do.

use std::{sync::Barrier, thread};

use jsonwebtoken11::{Algorithm, EncodingKey, crypto};
use relatch::{
    Access, Authority, AuthorityBuilder, BindingMode, Context, NoClaims, Purpose, Reason,
    RefreshToken, Token, VerifyError,
    authority::{RefreshError, Stage},
    user::{Counter, KeyCache},
};

use crate::common::{
    Account, Download, EmailChange, MagicLink, TestClock, account, authority, builder, copy, key,
    peek, rehashed,
};

fn cached(id: &str) -> Account {
    Account { keys: Some(KeyCache::default()), ..account(id) }
}

/// The authority, record and context under which a token is issued or presented.
#[derive(Clone)]
struct Place {
    authority: Authority,
    user: Account,
    context: Context,
}

impl Place {
    fn new() -> Self {
        Self { authority: authority().0, user: cached("alice"), context: Context::new() }
    }

    fn with_user(&self, change: impl FnOnce(&mut Account)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.user);
        changed
    }

    fn under(&self, settings: AuthorityBuilder) -> Self {
        Self { authority: settings.build().unwrap(), ..self.clone() }
    }

    fn in_context(&self, value: &str) -> Self {
        Self { context: Context::new().with("device", value), ..self.clone() }
    }

    fn issue<P: Purpose<Claims = NoClaims>>(&self) -> Token<P> {
        let issue = self.authority.issue::<P>(&self.user, &NoClaims {});
        issue.context(self.context.clone()).sign().unwrap()
    }

    fn key<P: Purpose>(&self) -> [u8; 32] {
        *self.authority.danger_expose_key::<P>(&self.user, &self.context).unwrap()
    }

    /// The rejection of the token: the same with the cached keys and without them, at each call.
    fn refusal<P: Purpose>(&self, token: &Token<P>) -> Option<(Stage, Reason)> {
        let bare = Account { keys: None, ..self.user.clone() };
        let verdicts = [&self.user, &bare, &self.user].map(|user| {
            let presented = copy(token).in_context(self.context.clone());
            match peek(&self.authority, &presented, user) {
                Ok(_) => None,
                Err(VerifyError::Rejected(rejection)) => {
                    Some((rejection.stage(), rejection.reason()))
                }
                Err(other) => panic!("not a rejection: {other:?}"),
            }
        });
        assert_eq!(verdicts[0], verdicts[1], "differs without the keys");
        assert_eq!(verdicts[0], verdicts[2], "not as before");
        verdicts[1]
    }
}

/// The token, signed with another key.
fn signed<P>(token: &Token<P>, key: &[u8; 32]) -> Token<P> {
    let (input, _) = token.expose().rsplit_once('.').unwrap();
    let key = EncodingKey::from_secret(key);
    let signature = crypto::sign(input.as_bytes(), &key, Algorithm::HS256).unwrap();
    Token::new(format!("{input}.{signature}"))
}

const BAD_SIGNATURE: Option<(Stage, Reason)> = Some((Stage::Binding, Reason::BadSignature));

/// A key cached under one place is not used under the other, and each place keeps finding its own
/// key. The records share a cache.
fn are_apart<P, Q>(then: &Place, now: &Place)
where
    P: Purpose<Claims = NoClaims>,
    Q: Purpose<Claims = NoClaims>,
{
    assert_ne!(then.key::<P>(), now.key::<Q>());
    let shared = KeyCache::default();
    let [then, now] =
        [then, now].map(|place| place.with_user(|user| user.keys = Some(shared.clone())));
    let old = then.issue::<P>();
    assert_eq!(then.refusal(&old), None);

    let new = now.issue::<Q>();
    let stolen = signed(&new, &then.key::<P>());
    assert_eq!(now.refusal(&stolen), BAD_SIGNATURE, "the kept key is found");
    assert_eq!(now.refusal(&new), None);
    assert_eq!(now.refusal(&stolen), BAD_SIGNATURE);

    let ahead = signed(&old, &now.key::<Q>());
    assert_eq!(then.refusal(&ahead), BAD_SIGNATURE, "nor backwards");
    assert_eq!(then.refusal(&old), None);
}

/// Each input of the derivation that comes from the record or the presentation.
#[test]
fn a_change_of_what_a_key_is_derived_from_is_another_key() {
    let then = Place::new();
    are_apart::<Access, Access>(&then, &then.with_user(|user| user.version += 1));
    are_apart::<Access, Access>(
        &then,
        &then.with_user(|user| user.password_hash = "$argon2id$new".into()),
    );
    are_apart::<Access, Access>(&then, &then.with_user(|user| user.id = "bob".into()));
    are_apart::<Access, Access>(&then, &then.with_user(|user| user.id = "alice2".into()));
    are_apart::<MagicLink, MagicLink>(&then, &then.with_user(|user| user.lane += 1));
    are_apart::<Access, Access>(&then, &then.in_context("phone"));
    are_apart::<Access, Access>(&then.in_context("phone"), &then);
    are_apart::<Access, Access>(&then.in_context("phone"), &then.in_context("phon"));
    are_apart::<Access, Access>(&then.in_context("phone"), &then.in_context("phonf"));
}

#[test]
fn another_type_of_token_is_another_key() {
    let place = Place::new();
    are_apart::<Access, Download>(&place, &place);
    are_apart::<Download, Access>(&place, &place);
    are_apart::<MagicLink, EmailChange>(&place, &place);
    // With a lane and without. The `typ` differs too.
    are_apart::<Access, MagicLink>(&place, &place);
}

#[test]
fn another_issuer_epoch_or_master_key_is_another_key() {
    let clock = TestClock::new();
    let then = Place::new().under(builder(&clock));
    let issuer =
        Authority::builder(key("k1", 1), "https://other.example", "a").clock(clock.clone());
    are_apart::<Access, Access>(&then, &then.under(issuer));
    let master = |byte| {
        Authority::builder(key("k1", byte), then.authority.issuer(), then.authority.audience())
            .clock(clock.clone())
    };
    are_apart::<Access, Access>(&then, &then.under(master(2)));
    let epoch = |counter| then.under(builder(&clock).epoch("realm", counter));
    are_apart::<Access, Access>(&then, &epoch(0));
    are_apart::<Access, Access>(&epoch(1), &epoch(2));
    let tenant = |name: &str, counter| {
        let tenant = Some((name.to_owned(), counter));
        let place = Place::new().under(builder(&clock).user_epoch("tenant"));
        place.with_user(|user| user.tenant = tenant)
    };
    are_apart::<Access, Access>(&tenant("acme", 1), &tenant("acme", 2));
    are_apart::<Access, Access>(&tenant("acme", 1), &tenant("acm", 1));
}

/// Equal derivation inputs find the same key, rightly.
#[test]
fn another_authority_of_the_same_derivation_has_the_same_key() {
    let clock = TestClock::new();
    let place = Place::new().under(builder(&clock));
    let issuer = place.authority.issuer();
    let again = place.under(builder(&clock));
    let other_audience =
        place.under(Authority::builder(key("k1", 1), issuer, "another").clock(clock.clone()));
    let token = place.issue::<Access>();
    for _ in 0..2 {
        assert_eq!(place.refusal(&token), None);
        assert_eq!(again.refusal(&token), None);
        let rejected = other_audience.refusal(&token);
        assert_eq!(rejected, Some((Stage::Validity, Reason::WrongAudience)));
        assert_eq!(other_audience.refusal(&other_audience.issue::<Access>()), None);
    }
    // The same keys under another `kid`, which is only in the header.
    let renamed = place.under(
        Authority::builder(key("k9", 1), issuer, place.authority.audience()).clock(clock.clone()),
    );
    assert_eq!(place.key::<Access>(), renamed.key::<Access>());
    assert_eq!(renamed.refusal(&token), Some((Stage::Header, Reason::UnknownKey)));
    assert_eq!(renamed.refusal(&renamed.issue::<Access>()), None);
}

#[test]
fn a_rehash_keeps_the_key_and_a_new_password_does_not() {
    let mut place = Place::new();
    let before = place.issue::<Access>();
    assert_eq!(place.refusal(&before), None);
    for _ in 0..3 {
        place.user = rehashed(&place.user);
        assert_eq!(place.refusal(&before), None);
        assert_eq!(place.refusal(&place.issue::<Access>()), None);
    }
    // The old carried pair is still stored, and has no effect.
    let changed = place.with_user(|user| user.password_hash = "$argon2id$changed".into());
    assert_eq!(changed.refusal(&before), BAD_SIGNATURE);
    are_apart::<Access, Access>(&place, &changed);
    // The old hash again, as from a backup.
    assert_eq!(place.refusal(&before), None);
}

#[test]
fn a_bump_in_place_is_seen_at_once() {
    let mut place = Place::new();
    let clock = TestClock::new();
    let mut tokens = vec![place.issue::<Access>()];
    for _ in 0..2 * KeyCache::MAX_KEYS {
        assert_eq!(place.refusal(tokens.last().unwrap()), None);
        place.user.version = Counter::from(place.user.version).next(clock.at(0)).unwrap().get();
        for dead in &tokens {
            let revoked = Some((Stage::Binding, Reason::RevokedByVersion));
            assert_eq!(place.refusal(dead), revoked);
        }
        tokens.push(place.issue::<Access>());
    }
}

#[test]
fn a_rotation_and_an_emergency_removal_are_seen_at_once() {
    let clock = TestClock::new();
    let mut place = Place::new().under(builder(&clock));
    let old = place.issue::<Access>();
    assert_eq!(place.refusal(&old), None);
    let ring = place.authority.keys().clone().rotate(key("k2", 2), clock.at(60)).unwrap();
    place.authority = place.authority.with_keys(ring.clone()).unwrap();
    let new = place.issue::<Access>();
    for _ in 0..2 {
        assert_eq!(place.refusal(&old), None);
        assert_eq!(place.refusal(&new), None);
    }
    let removed = Place {
        authority: place.authority.with_keys(ring.remove("k1").unwrap()).unwrap(),
        ..place.clone()
    };
    assert_eq!(removed.refusal(&old), Some((Stage::Header, Reason::UnknownKey)));
    assert_eq!(removed.refusal(&new), None);
    clock.set(60);
    assert_eq!(place.refusal(&old), Some((Stage::Header, Reason::RetiredKey)));
    assert_eq!(place.refusal(&new), None);
    // A token signed with the removed key, which is still in the cache.
    let stolen = Place::new().key::<Access>();
    assert_eq!(removed.refusal(&signed(&new, &stolen)), BAD_SIGNATURE);
}

/// Refresh tokens are in key mode in every mode of the authority, and have a `typ` of their own.
#[test]
fn a_refresh_is_decided_as_without_the_keys() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let mut user = cached("alice");
        let started = authority.start_session(&user, "phone").unwrap();
        let mut text = user.commit(started).refresh().expose().to_owned();
        let refused = |user: &Account, text: &str| {
            let opened = authority.open_refresh(RefreshToken::new(text)).unwrap();
            let bare = Account { keys: None, ..user.clone() };
            let [with, without] = [user, &bare].map(|user| match opened.refresh(user) {
                Err(RefreshError::Rejected(rejection)) => rejection.reason(),
                other => panic!("not a rejection: {other:?}"),
            });
            assert_eq!(with, without);
            with
        };
        for _ in 0..3 {
            let opened = authority.open_refresh(RefreshToken::new(&*text)).unwrap();
            let refreshed = user.commit(opened.refresh(&user.clone()).unwrap());
            text = refreshed.into_tokens().unwrap().refresh().expose().to_owned();
        }
        let bumped = Account { version: user.version + 1, ..user.clone() };
        assert_eq!(refused(&bumped, &text), Reason::RevokedByVersion);
        let changed = Account { password_hash: "$argon2id$changed".into(), ..user.clone() };
        assert_eq!(refused(&changed, &text), Reason::BadSignature);
    }
}

/// Keys that do not fit in the cache are derived each time.
#[test]
fn more_keys_than_there_is_room_for_are_all_as_good() {
    let place = Place::new();
    let places: Vec<_> =
        (0..3 * KeyCache::MAX_KEYS).map(|n| place.in_context(&n.to_string())).collect();
    let tokens: Vec<_> = places.iter().map(Place::issue::<Access>).collect();
    for _ in 0..2 {
        for (at, place) in places.iter().enumerate() {
            for (of, token) in tokens.iter().enumerate() {
                assert_eq!(place.refusal(token), BAD_SIGNATURE.filter(|_| at != of));
            }
        }
    }
}

/// Forged tokens add no key to the cache.
#[test]
fn forgeries_in_between_change_nothing() {
    let place = Place::new();
    let token = place.issue::<Access>();
    for n in 0..2 * KeyCache::MAX_KEYS {
        let elsewhere = place.in_context(&n.to_string());
        assert_eq!(elsewhere.refusal(&token), BAD_SIGNATURE);
    }
    let long = place.in_context(&"x".repeat(4000));
    for _ in 0..2 {
        assert_eq!(place.refusal(&token), None);
        assert_eq!(long.refusal(&long.issue::<Access>()), None);
        assert_eq!(long.refusal(&token), BAD_SIGNATURE);
    }
}

#[test]
fn many_threads_use_one_record_at_once() {
    fn is_for_any_thread<T: Send + Sync>(_: &T) {}
    is_for_any_thread(&KeyCache::default());

    let place = Place::new();
    let places: Vec<_> =
        (0..2 * KeyCache::MAX_KEYS).map(|n| place.in_context(&n.to_string())).collect();
    let tokens: Vec<_> = places.iter().map(Place::issue::<Access>).collect();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for first in 0..8 {
            let (places, tokens, start) = (&places, &tokens, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..places.len() {
                    let (at, of) = ((first + n) % places.len(), n);
                    let expected = BAD_SIGNATURE.filter(|_| at != of);
                    assert_eq!(places[at].refusal(&tokens[of]), expected);
                    assert_eq!(places[at].refusal(&tokens[at]), None);
                }
            });
        }
    });
}
