//! Histories of up to thousands of random steps, compared with a naive reference that keeps every
//! token in a list: both give the same verdicts after every step.

mod acts;
mod checks;
mod reference;
mod steps;

use std::{collections::HashMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use relatch::{
    Access, Authority, BindingMode, KeyRing, SessionPolicy,
    authority::{Entropy, EntropyError},
    sessions::{ClientPolicy, OnReuse, SessionId, SessionTable, WhenFull},
    user::{Counter, KeyCache},
};
use time::Duration;

use self::{
    acts::issue,
    reference::{Key, Kind, Policy, Record, Reference, Rules, Tick, Token},
    steps::{Pick, Step, policy, step},
};
use crate::common::{
    AUDIENCE, Account, EmailChange, ISSUER, MagicLink, Reset, TestClock, TestEntropy, account,
    rehashed,
};

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 10_000,
        max_shrink_time: 60_000,
        ..ProptestConfig::with_cases(crate::support::cases(24))
    })]

    #[test]
    fn the_library_and_a_list_of_all_tokens_agree(
        is_stamped in any::<bool>(), keeps_keys in any::<bool>(),
        leeway in prop_oneof![Just(0_i64), 1_i64..5],
        policy in policy(), steps in vec(step(), 1..2500),
    ) {
        let mut world = World::new(is_stamped, keeps_keys, leeway, policy);
        for step in &steps {
            world.step(step);
            world.check_list();
        }
        world.check_all();
    }
}

/// The library, a row in a database, and the reference.
struct World {
    authority: Authority,
    clock: TestClock,
    entropy: SharedEntropy,
    keys: KeyRing,
    row: Account,
    ids: HashMap<Tick, SessionId>,
    backup: (Account, Record, Tick),
    reference: Reference,
}

impl World {
    fn new(is_stamped: bool, keeps_keys: bool, leeway: i64, policy: Policy) -> Self {
        let (clock, entropy, keys) =
            (TestClock::new(), SharedEntropy::default(), KeyRing::new(kid(0)));
        let record = Record::new();
        let reference = Reference {
            is_stamped,
            leeway,
            policy,
            keys: vec![Key::Current],
            epoch: 0,
            now: 0,
            tick: 0,
            record: record.clone(),
            as_of: None,
            tokens: Vec::new(),
        };
        let keys_of_row = keeps_keys.then(KeyCache::default);
        let tenant = Some(("acme".to_owned(), 0));
        let row = Account { keys: keys_of_row, tenant, ..account("alice") };
        let authority = build(&reference, &clock, &entropy, &keys);
        let backup = (row.clone(), record, 0);
        let ids = HashMap::new();
        Self { authority, clock, entropy, keys, row, ids, backup, reference }
    }

    fn rebuild(&mut self) {
        self.authority = build(&self.reference, &self.clock, &self.entropy, &self.keys);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Act(act) => self.act(act, None),
            Step::Late(act, meanwhile) => self.act(act, Some(meanwhile)),
            Step::IssueAccess => {
                let text = issue::<Access>(&self.authority, &self.row);
                self.issued(text, Kind::Access);
            }
            Step::IssueLink(kind) => {
                let text = match kind {
                    Kind::MagicLink => issue::<MagicLink>(&self.authority, &self.row),
                    Kind::EmailChange => issue::<EmailChange>(&self.authority, &self.row),
                    _ => issue::<Reset>(&self.authority, &self.row),
                };
                self.issued(text, *kind);
            }
            Step::Verify(pick) => {
                if let Some(token) = self.pick(pick, |_| true) {
                    let (row, record) = (self.row.clone(), self.reference.record.clone());
                    self.check(&token, &row, &record);
                }
            }
            Step::VerifyStale(pick) => {
                let (row, record, as_of) = self.backup.clone();
                self.reference.as_of = Some(as_of);
                if let Some(token) = self.pick(pick, |_| true) {
                    self.check(&token, &row, &record);
                }
                self.reference.as_of = None;
            }
            Step::Bump => self.bump(),
            Step::ChangePassword => self.change_password(),
            Step::Rehash => {
                self.row = rehashed(&self.row);
                self.reference.record.password = self.reference.next_tick();
            }
            Step::BumpTenant => {
                let tick = self.reference.next_tick();
                self.row.tenant = Some(("acme".to_owned(), i64::try_from(tick).unwrap()));
                self.reference.record.tenant = tick;
            }
            Step::SetActive { is_active, bumps } => {
                if *bumps {
                    self.bump();
                }
                self.row.active = *is_active;
                self.reference.record.is_active = *is_active;
            }
            Step::RestartProcess => {
                self.rebuild();
                let column = self.row.sessions.to_column();
                self.row.sessions = SessionTable::from_column(column.as_deref()).unwrap();
                assert_eq!(self.row.sessions.to_column(), column);
                self.row.keys = self.row.keys.take().map(|_| KeyCache::default());
            }
            Step::SetPolicy(policy) => {
                self.reference.policy = *policy;
                self.rebuild();
            }
            Step::RotateKey(seconds) => {
                let until = self.reference.now + seconds;
                let new = self.reference.keys.len();
                self.keys = self.keys.clone().rotate(kid(new), self.clock.at(until)).unwrap();
                *self.reference.keys.last_mut().unwrap() = Key::Until(until);
                self.reference.keys.push(Key::Current);
                self.rebuild();
            }
            Step::RemoveKey(index) => {
                let which = index.index(self.reference.keys.len());
                if matches!(self.reference.keys[which], Key::Until(_)) {
                    self.keys = self.keys.clone().remove(&format!("k{which}")).unwrap();
                    self.reference.keys[which] = Key::Removed;
                    self.rebuild();
                }
            }
            Step::Wait(seconds) => self.set_clock(self.reference.now + seconds),
            Step::WaitForEnd(pick, offset) => {
                if let Some(token) = self.pick(pick, |_| true) {
                    self.go_to(token.exp + offset);
                }
            }
            Step::WaitForGrace(pick, offset) => {
                if let Some((iat, rules)) = self.pick_rules(pick) {
                    self.go_to(iat + rules.grace + offset);
                }
            }
            Step::WaitForLateRepeat(pick, offset) => {
                if let Some((iat, rules)) = self.pick_rules(pick) {
                    self.go_to(iat + rules.late_repeat + offset);
                }
            }
            Step::WaitForKey(offset) => {
                let deadlines = self.reference.keys.iter().rev();
                let deadline = deadlines.filter_map(|key| match key {
                    Key::Until(deadline) => Some(*deadline),
                    _ => None,
                });
                if let Some(deadline) = deadline.take(1).next() {
                    self.go_to(deadline + offset);
                }
            }
            Step::BackUp => {
                let tick = self.reference.next_tick();
                self.backup = (self.row.clone(), self.reference.record.clone(), tick);
            }
            Step::Restore => self.restore(),
            Step::ForgetKeys => self.row.keys = self.row.keys.take().map(|_| KeyCache::default()),
            Step::CheckAll => self.check_all(),
        }
    }

    /// Skips distant instants: otherwise nearly every session would just expire.
    fn go_to(&mut self, instant: i64) {
        if (-100..2000).contains(&(instant - self.reference.now)) {
            self.set_clock(instant);
        }
    }

    fn set_clock(&mut self, now: i64) {
        self.clock.set(now);
        self.reference.now = now;
    }

    /// A bump by the application's SQL.
    fn bump(&mut self) {
        let now = self.clock.at(self.reference.now);
        self.row.version = Counter::from(self.row.version).next(now).unwrap().get();
        self.reference.record = self.reference.bump(&self.reference.record.clone());
    }

    fn change_password(&mut self) {
        self.row.password_hash = self.new_hash();
        let record = self.reference.record.clone();
        self.reference.record = self.reference.use_up(&record, Kind::Reset);
    }

    fn new_hash(&mut self) -> String {
        format!("$argon2id$v=19${}", self.reference.next_tick())
    }

    /// Restores the backup, and moves the epoch before serving.
    fn restore(&mut self) {
        let (row, record, as_of) = self.backup.clone();
        (self.row, self.reference.record) = (row, record);
        self.reference.as_of = Some(as_of);
        self.check_all();

        self.reference.as_of = None;
        self.reference.epoch = self.reference.next_tick();
        self.rebuild();
        self.ids.retain(|began, _| *began <= as_of);
        for token in &mut self.reference.tokens {
            token.session = token.session.filter(|(began, _)| *began <= as_of);
        }
        self.backup = (self.row.clone(), self.reference.record.clone(), self.reference.epoch);
        self.check_all();
    }

    /// One of the tokens ever issued, of the wanted kinds.
    fn pick(&self, pick: &Pick, is_wanted: impl Fn(Kind) -> bool) -> Option<Token> {
        let tokens: Vec<_> =
            self.reference.tokens.iter().filter(|token| is_wanted(token.kind)).collect();
        let last = tokens.len().checked_sub(1)?;
        let at = match pick {
            Pick::Any(index) => index.index(tokens.len()),
            Pick::Recent(back) => last - last.min(*back),
        };
        Some(tokens[at].clone())
    }

    /// The `iat` of one of the refresh tokens, and the rules of its session if the record has it.
    fn pick_rules(&self, pick: &Pick) -> Option<(i64, Rules)> {
        let token = self.pick(pick, |kind| kind == Kind::Refresh)?;
        let (began, _) = token.session?;
        let sessions = &self.reference.record.sessions;
        let session = sessions.iter().find(|session| session.began == began);
        let policy = session.and_then(|session| session.new.policy);
        Some((token.iat, self.reference.policy.rules(policy)))
    }

    /// The session of one of the tokens.
    fn pick_session(&self, pick: &Pick) -> Option<(Tick, u32)> {
        self.pick(pick, |kind| kind == Kind::Refresh)?.session
    }
}

fn build(
    reference: &Reference,
    clock: &TestClock,
    entropy: &SharedEntropy,
    keys: &KeyRing,
) -> Authority {
    let policy = reference.policy;
    let sessions = SessionPolicy::new()
        .max_sessions(policy.max_sessions)
        .when_full(match policy.refuses {
            true => WhenFull::Refuse,
            false => WhenFull::EvictLeastRecentlyUsed,
        })
        .max_data_bytes(policy.max_data)
        .idle_lifetime(Duration::seconds(policy.default.idle))
        .absolute_lifetime(Duration::seconds(policy.default.absolute))
        .grace(Duration::seconds(policy.default.grace))
        .late_repeat(Duration::seconds(policy.default.late_repeat))
        .on_reuse(match policy.ends_all {
            true => OnReuse::EndAllSessions,
            false => OnReuse::EndSession,
        });
    let named = [("phone", policy.phone), ("kiosk", policy.kiosk)];
    let named = named.into_iter().filter_map(|(name, rules)| Some((name, rules?)));
    let sessions =
        named.fold(sessions, |policy, (name, rules)| policy.named(name, client_policy(&rules)));
    Authority::builder(keys.clone(), ISSUER, AUDIENCE)
        .mode(match reference.is_stamped {
            true => BindingMode::StampHs256,
            false => BindingMode::Key,
        })
        .epoch("realm", i64::try_from(reference.epoch).unwrap())
        .user_epoch("tenant")
        .lifetime(Duration::seconds(policy.lifetime))
        .leeway(Duration::seconds(reference.leeway))
        .sessions(sessions)
        .clock(clock.clone())
        .entropy(entropy.clone())
        .build()
        .unwrap()
}

fn client_policy(rules: &Rules) -> ClientPolicy {
    ClientPolicy::new()
        .idle_lifetime(Duration::seconds(rules.idle))
        .absolute_lifetime(Duration::seconds(rules.absolute))
        .grace(Duration::seconds(rules.grace))
        .late_repeat(Duration::seconds(rules.late_repeat))
}

fn kid(number: usize) -> relatch::MasterKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    relatch::MasterKey::from_bytes(format!("k{number}"), &bytes).unwrap()
}

/// One entropy source for all authorities of a history.
#[derive(Clone, Default)]
struct SharedEntropy(Arc<TestEntropy>);

impl Entropy for SharedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(bytes)
    }
}
