//! Random scenarios.

use std::collections::BTreeSet;

use relatch::{
    authority::{Entropy, SystemEntropy},
    user::{Carried, Credential},
};
use serde_json::{Value, json};

use crate::{scenario::Own, transition::table};

/// Draws from the operating system's randomness.
#[derive(Clone, Copy)]
pub(crate) struct Draw;

impl Draw {
    /// The inputs of a scenario, in the form of tests/vectors/README.md.
    pub(crate) fn scenario(self) -> Value {
        let now = self.within(100 * DAY, 4_000_000_000);
        let secrets: Vec<String> = self.list(1, 3, |_| self.text(60));
        let kinds: Vec<String> = self.list(0, 3, |i| format!("user{i}"));
        let purposes = [
            json!({ "typ": "at+jwt", "lane": false, "strings": [], "portable": true }),
            json!({ "typ": "reset+jwt", "lane": true, "strings": [], "portable": false }),
            json!({ "typ": "admin+jwt", "lane": false, "strings": ["role"], "portable": false }),
            json!({ "typ": "partner+jwt", "lane": true, "strings": [], "portable": true }),
        ];
        let user_epochs: Vec<Value> = kinds.iter().map(|kind| self.user_epoch(kind)).collect();
        let context: Own =
            self.list(0, 3, |_| (self.text(9), json!(self.text(40)))).into_iter().collect();
        json!({
            "authority": {
                "issuer": self.text(30),
                "audience": self.text(30),
                "mode": self.pick(&["key", "stamp_hs256"]),
                "leeway": self.within(0, 300),
                "max_token_bytes": 4096,
                "keys": [
                    { "kid": "2026-11", "master": self.master(), "until": null },
                    { "kid": "2026-10", "master": self.master(), "until": now + 1 },
                ],
                "epochs": self.list(0, 3, |i| {
                    json!({ "kind": format!("fixed{i}"), "counter": self.counter() })
                }),
                "user_epochs": kinds,
            },
            "purpose": self.pick(&purposes),
            "policy": {
                // More than there are sessions, so that a login is never refused.
                "max_sessions": self.within(10, 64),
                // No shorter than an access token lives, which its session would cut off.
                "idle": self.within(3600, 14 * DAY),
                "absolute": self.within(3600, 90 * DAY),
                "grace": self.within(0, 60),
                "late_repeat": self.late_repeat(),
                "max_data_bytes": 512,
                "named": {
                    "phone": { "late_repeat": self.late_repeat(), "grace": self.within(0, 60) },
                    "tv": { "idle": self.within(3600, 14 * DAY) },
                },
                "on_reuse": self.pick(&["session", "all"]),
                "when_full": self.pick(&["evict", "refuse"]),
            },
            "now": now,
            "context": context,
            "record": {
                "id": self.text(40),
                "carried": self.carried(&secrets),
                "secrets": secrets,
                // The last version leaves no generation for a login.
                "version": self.counter().min(i64::MAX - 1),
                "active": true,
                "epochs": user_epochs,
                "lane": self.counter(),
                "sessions": self.sessions(now),
            },
        })
    }

    pub(crate) fn own_claims(self) -> Own {
        let deep = json!([self.counter(), { "deep": [self.text(9), true, null] }]);
        [("role".to_owned(), json!(self.text(9))), (format!("own {}", self.text(9)), deep)]
            .into_iter()
            .collect()
    }

    /// Text of 1 to `most` characters, some of which JSON escapes and some of which are not ASCII.
    pub(crate) fn text(self, most: i64) -> String {
        let alphabet: Vec<char> = "aZ09-_.:@/+ \"\\\n\u{1}\u{7f}éж中🔑".chars().collect();
        self.list(1, most, |_| self.pick(&alphabet)).into_iter().collect()
    }

    pub(crate) fn pick<T: Clone>(self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).expect("an index");
        choices[index].clone()
    }

    /// From `least` to `most`, both included.
    pub(crate) fn within(self, least: i64, most: i64) -> i64 {
        let span = u64::try_from(most - least).expect("a range");
        least + i64::try_from(self.below(span + 1)).expect("within the range")
    }

    /// Less than `end`; so little of 64 bits that the bias does not matter here.
    pub(crate) fn below(self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        SystemEntropy.fill(&mut bytes).expect("the operating system's randomness");
        u64::from_be_bytes(bytes) % end
    }

    fn list<T>(self, least: i64, most: i64, item: impl FnMut(i64) -> T) -> Vec<T> {
        (0..self.within(least, most)).map(item).collect()
    }

    fn counter(self) -> i64 {
        self.pick(&[0, 1, self.within(0, 1 << 40), i64::MAX])
    }

    fn master(self) -> String {
        let bytes = self.list(32, 80, |_| format!("{:02x}", self.below(256)));
        bytes.concat()
    }

    fn user_epoch(self, kind: &str) -> Value {
        let instance = self.pick(&[Value::Null, json!(self.text(9))]);
        json!({ "kind": kind, "instance": instance, "counter": self.counter() })
    }

    /// The text of a table with some sessions that are alive, or `None` for NULL.
    fn sessions(self, now: i64) -> Option<String> {
        let slots: BTreeSet<i64> = self.list(0, 9, |_| self.within(0, 63)).into_iter().collect();
        let mut generation = 0;
        let session = |slot| {
            generation += self.below(1 << 40) + 1;
            let age = self.within(0, 99);
            let mut session = json!({
                "slot": slot,
                "generation": generation,
                "seq": self.counter(),
                "tag": self.tag(),
                "started_at": now - age,
                "last_seen": now - self.within(0, age),
                "label": self.pick(&["", "Телефон 🔑", r#"\ "quoted""#]),
            });
            for mark in ["repeated", "strict"] {
                if self.pick(&[true, false]) {
                    session[mark] = json!(true);
                }
            }
            session
        };
        let sessions: Vec<Value> = slots.into_iter().map(session).collect();
        let generation = generation + self.below(10);
        (generation > 0).then(|| table(generation, &sessions))
    }

    /// Arguments of a login, beside the label.
    pub(crate) fn add_to_login(self, case: &mut Value) {
        if self.pick(&[true, false]) {
            case["data"] = json!(json!({ self.text(9): self.text(40) }).to_string());
        }
        if self.pick(&[true, false]) {
            case["session_policy"] = json!(self.pick(&["phone", "tv"]));
        }
        if self.pick(&[true, false]) {
            let now = case["now"].as_i64().expect("seconds");
            case["ends_at"] = json!(now + self.within(1000, DAY));
        }
    }

    fn late_repeat(self) -> Option<i64> {
        self.pick(&[None, Some(self.within(1, 90)), Some(30 * DAY)])
    }

    /// Eight bytes as base64url: the last character has four bits.
    fn tag(self) -> String {
        let alphabet: Vec<char> =
            ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
        let fourths: Vec<char> = alphabet.iter().copied().step_by(4).collect();
        let mut tag: String = (0..10).map(|_| self.pick(&alphabet)).collect();
        tag.push(self.pick(&fourths));
        tag
    }

    /// No pair, one that counts for these secrets, or one that is void.
    fn carried(self, secrets: &[String]) -> Option<String> {
        let present = Credential::from_secrets(secrets).expect("secrets");
        let other = Credential::from_secrets([self.text(60)]).expect("a secret");
        let counts = Carried::rehash(None, &other, &present).expose_text().to_string();
        let void = Carried::rehash(None, &present, &other).expose_text().to_string();
        self.pick(&[None, Some(counts), Some(void)])
    }
}

const DAY: i64 = 86_400;
