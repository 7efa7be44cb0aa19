//! Properties of the codec and the derivation over random records and tokens.

use std::convert::Infallible;

use proptest::{collection::vec, option, prelude::*, sample::Index};
use relatch::{
    Access, Authority, Binding, BindingMode, Context, MasterKey, NoClaims, Purpose, RefreshToken,
    Token, User,
    one_time::{self, SecondStep},
    user::{Counter, Epoch},
};

use crate::common::{ISSUER, MagicLink, TestClock, TestEntropy};

/// Everything that a token is bound to.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    id: String,
    secrets: Vec<Vec<u8>>,
    version: i64,
    lane: i64,
    tenant: (String, i64),
    context: Option<(String, Vec<u8>)>,
}

impl User for Record {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::secrets(&self.secrets).version(self.version)
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        vec![Epoch::of("tenant", &self.tenant.0, self.tenant.1)]
    }
    fn lane(&self, _typ: &str) -> Option<Counter> {
        Some(self.lane.into())
    }
}

impl Record {
    fn context(&self) -> Context {
        let pairs = self.context.iter();
        pairs.fold(Context::new(), |context, (kind, value)| context.with(kind, value))
    }
}

prop_compose! {
    fn record()(
        id in "\\PC{1,20}",
        secrets in vec(vec(any::<u8>(), 1..40), 1..4),
        version in 0..=i64::MAX,
        lane in 0..=i64::MAX,
        tenant in ("[a-z:]{0,8}", 0..=i64::MAX),
        context in option::of(("[a-z]{1,8}", vec(any::<u8>(), 1..20))),
    ) -> Record {
        Record { id, secrets, version, lane, tenant, context }
    }
}

fn mode() -> impl Strategy<Value = BindingMode> {
    prop_oneof![Just(BindingMode::Key), Just(BindingMode::StampHs256)]
}

fn authority(mode: BindingMode, master: &[u8], issuer: &str) -> Authority {
    Authority::builder(MasterKey::from_bytes("k", master).unwrap(), issuer, "api")
        .mode(mode)
        .user_epoch("tenant")
        .clock(TestClock::new())
        .entropy(TestEntropy::default())
        .build()
        .unwrap()
}

fn accepts(authority: &Authority, text: &str, record: &Record) -> bool {
    let token = Token::<MagicLink>::new(text).in_context(record.context());
    authority.peek(&token, |_| Ok::<_, Infallible>(Some(record.clone()))).is_ok()
}

fn issue(authority: &Authority, record: &Record) -> String {
    issue_of::<MagicLink>(authority, record)
}

fn issue_of<P: Purpose<Claims = NoClaims>>(authority: &Authority, record: &Record) -> String {
    let issue = authority.issue::<P>(record, &NoClaims {});
    issue.context(record.context()).sign().unwrap().expose().to_owned()
}

/// One bound input, changed by a single bit or step.
fn changes(record: &Record, at: Index, bit: u8) -> Vec<Record> {
    let flip = |bytes: &mut Vec<u8>| {
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << (bit % 8);
    };
    let mut all = vec![record.clone(); 7];
    let which = at.index(record.secrets.len());
    flip(&mut all[0].secrets[which]);
    all[1].version ^= 1 << (bit % 63);
    all[2].lane ^= 1 << (bit % 63);
    all[3].tenant.1 ^= 1 << (bit % 63);
    all[4].tenant.0.push('x');
    all[5].secrets.push(vec![bit]);
    match &mut all[6].context {
        Some((_, value)) => flip(value),
        none => *none = Some(("k".into(), vec![bit])),
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::support::cases(64)))]

    #[test]
    fn any_record_s_token_verifies_and_a_change_of_any_bound_input_rejects_it(
        mode in mode(), record in record(), at in any::<Index>(), bit in any::<u8>(),
    ) {
        let authority = authority(mode, &[1; 32], ISSUER);
        let text = issue(&authority, &record);
        prop_assert!(accepts(&authority, &text, &record));
        for changed in changes(&record, at, bit) {
            prop_assert!(!accepts(&authority, &text, &changed), "{changed:?}");
        }
    }

    #[test]
    fn a_change_of_any_bit_of_the_server_s_side_rejects(
        mode in mode(), record in record(), master in vec(any::<u8>(), 32..80),
        at in any::<Index>(), bit in 0_u8..8,
    ) {
        let text = issue(&authority(mode, &master, ISSUER), &record);
        let mut other = master.clone();
        other[at.index(master.len())] ^= 1 << bit;
        prop_assert!(!accepts(&authority(mode, &other, ISSUER), &text, &record));
        prop_assert!(!accepts(&authority(mode, &master, "https://other.example"), &text, &record));
    }

    #[test]
    fn distinct_records_have_distinct_keys(a in record(), b in record()) {
        let authority = authority(BindingMode::Key, &[1; 32], ISSUER);
        let key_of = |record: &Record| {
            *authority.danger_expose_key::<MagicLink>(record, &record.context()).unwrap()
        };
        prop_assert_eq!(a == b, key_of(&a) == key_of(&b));
    }

    #[test]
    fn the_token_of_a_pending_login_is_accepted_as_nothing_else(
        mode in mode(), mut record in record(),
    ) {
        // The kind that a link to confirm an address requires.
        record.context = Some(("email".into(), b"a@b.example".to_vec()));
        let authority = authority(mode, &[1; 32], ISSUER);
        let context = || record.context();
        let find = |_: &str| Ok::<_, Infallible>(Some(record.clone()));
        let pending = issue_of::<SecondStep>(&authority, &record);
        let is_peeked = |text: &str| {
            let token = Token::<SecondStep>::new(text).in_context(context());
            authority.peek(&token, find).is_ok()
        };
        prop_assert!(is_peeked(&pending));
        let access = Token::<Access>::new(&*pending).in_context(context());
        prop_assert!(authority.verify(&access, find).is_err());
        prop_assert!(authority.open_refresh(RefreshToken::new(&*pending)).is_err());
        macro_rules! is_no {
            ($($purpose:ty),+) => {$({
                let token = Token::<$purpose>::new(&*pending).in_context(context());
                prop_assert!(authority.peek(&token, find).is_err(), stringify!($purpose));
                let other = issue_of::<$purpose>(&authority, &record);
                prop_assert!(!is_peeked(&other), stringify!($purpose));
            })+};
        }
        is_no!(one_time::PasswordReset, one_time::EmailConfirmation, one_time::MagicLink);
        is_no!(one_time::Invitation, MagicLink);
        prop_assert!(!is_peeked(&issue_of::<Access>(&authority, &record)));
    }

    #[test]
    fn arbitrary_text_is_refused_and_never_panics(mode in mode(), text in "\\PC{0,200}", record in record()) {
        prop_assert!(!accepts(&authority(mode, &[1; 32], ISSUER), &text, &record));
    }
}

/// Flips every bit of one token in each mode.
#[test]
fn any_single_bit_of_a_token_rejects_it() {
    let record = Record {
        id: "alice".into(),
        secrets: vec![b"hash".to_vec()],
        version: 3,
        lane: 1,
        tenant: ("acme".into(), 2),
        context: None,
    };
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = authority(mode, &[1; 32], ISSUER);
        let text = issue(&authority, &record);
        assert!(accepts(&authority, &text, &record));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let flipped = String::from_utf8_lossy(&bytes);
                assert!(!accepts(&authority, &flipped, &record), "bit {bit} of byte {at}");
            }
        }
    }
}
