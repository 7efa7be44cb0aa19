//! Random sequences of all operations, compared with a list of all issued tokens and whether each
//! is alive.

use relatch::{
    Context, NoClaims, Reason, SessionPolicy, Token,
    one_time::MagicLink,
    service::{Service, ServiceError},
    sessions::{SessionData, SessionId},
    store::UserKey,
};
use time::Duration;

use super::{
    ALICE, Backend, Column, PASSWORD, Profile, Tokens, World, again, refused, settings, settings_of,
};
use crate::common::{Role, role};

const LATE_REPEAT: i64 = 25;

const PASSWORD_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lsalt$Zm9ydHktdGhyZWUgY2hhcmFjdGVycyBvZiBiYXNlNjQ";

over_each_store! {
    what_is_handed_out_lives_until_it_is_revoked,
}

/// A session, with every pair of tokens that was issued for it.
struct Known {
    id: SessionId,
    chain: Vec<Tokens>,
    /// The lengths of the chain at which a late repeat handed out its end.
    late: Vec<usize>,
    is_alive: bool,
    /// Whether it was revoked by SQL, which leaves it in the table.
    is_void: bool,
    refreshed_at: i64,
}

struct Links {
    open: Vec<Token<MagicLink>>,
    void: Vec<Token<MagicLink>>,
}

/// xorshift: the sequence is the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

async fn what_is_handed_out_lives_until_it_is_revoked<B: Backend>(db: B) {
    let world = World::new(db).await;
    let policy = SessionPolicy::new().max_sessions(4).late_repeat(Duration::seconds(LATE_REPEAT));
    let authority = || settings_of(&world.clock).sessions(policy.clone()).build().unwrap();
    // Two processes over one store.
    let services = [(); 2].map(|()| settings(authority(), world.db.store().clone()).build());
    let mut run = Run {
        world: &world,
        services,
        now: 0,
        dice: Dice(0x9E37_79B9_7F4A_7C15),
        known: Vec::new(),
        links: Links { open: Vec::new(), void: Vec::new() },
        passwords: 0,
    };
    for step in 0..150 {
        // A bump empties the table, so within one millisecond a session's id may be reused after
        // it. The version differs, so no old token becomes valid.
        run.pass(1);
        let act = run.step().await;
        run.check(&format!("step {step}: {act}")).await;
    }
}

struct Run<'a, B> {
    world: &'a World<B>,
    services: [Service<Profile, Role>; 2],
    now: i64,
    dice: Dice,
    known: Vec<Known>,
    links: Links,
    passwords: usize,
}

impl<B: Backend> Run<'_, B> {
    async fn step(&mut self) -> &'static str {
        let service = self.services[self.dice.roll(2)].clone();
        let picked = self.dice.roll(self.known.len().max(1));
        let is_alive = self.known.get(picked).is_some_and(|known| known.is_alive);
        match self.dice.roll(31) {
            0..5 => {
                let tokens = service.start_session(ALICE, "device").await.unwrap();
                self.started(tokens);
                "start_session"
            }
            5..10 if is_alive => {
                let tokens = service.refresh(again(self.known[picked].newest())).await.unwrap();
                self.known[picked].chain.push(tokens);
                self.known[picked].refreshed_at = self.now;
                "refresh"
            }
            10..12 if is_alive && self.known[picked].chain.len() > 1 => {
                self.present_predecessor(&service, picked).await;
                "refresh by the predecessor"
            }
            12 | 13 => {
                self.pass(6);
                "time passes"
            }
            14 if is_alive => {
                let session = service.authenticate(self.known[picked].newest().access()).await;
                assert!(service.log_out(&session.unwrap()).await.unwrap());
                self.known[picked].is_alive = false;
                "log_out"
            }
            15 if is_alive => {
                let session = service.authenticate(self.known[picked].newest().access()).await;
                let session = session.unwrap();
                let other = self.dice.roll(self.known.len());
                let other = &mut self.known[other];
                let was_there = service.log_out_device(&session, other.id).await.unwrap();
                assert!(was_there == other.is_alive || other.is_void);
                (other.is_alive, other.is_void) = (false, false);
                "log_out_device"
            }
            16 if is_alive => {
                let access = self.known[picked].newest().access();
                let kept = service.log_out_others(access).await.unwrap();
                self.revoked_all();
                self.started(kept);
                "log_out_others"
            }
            24 if is_alive => {
                let known = &mut self.known[picked];
                known.is_alive = false;
                let restarted = service.restart_session(known.newest().access()).await.unwrap();
                self.started(restarted);
                "restart_session"
            }
            25 => {
                let Some(known) = self.known.get_mut(picked) else { return "nothing" };
                let token = &known.chain[self.dice.roll(known.chain.len())];
                // Rejected after a revocation of everything, `false` after that of this session
                // alone.
                let ended = service.revoke(token.refresh().expose(), Context::new()).await;
                assert_eq!(ended.is_ok_and(|ended| ended), known.is_alive);
                known.is_alive = false;
                "revoke by a refresh token"
            }
            26 if is_alive => {
                let known = &mut self.known[picked];
                let access = known.newest().access().expose();
                assert!(service.revoke(access, Context::new()).await.unwrap());
                known.is_alive = false;
                "revoke by an access token"
            }
            17 => {
                service.log_out_everywhere(ALICE).await.unwrap();
                self.revoked_all();
                "log_out_everywhere"
            }
            18 => {
                service.disable(ALICE).await.unwrap();
                self.revoked_all();
                assert!(service.start_session(ALICE, "x").await.is_err());
                service.enable(ALICE).await.unwrap();
                "disable and enable"
            }
            19 if self.passwords < 3 => {
                self.passwords += 1;
                service.set_password(ALICE, PASSWORD).await.unwrap();
                self.revoked_all();
                "set_password"
            }
            20 => {
                // By the application's own SQL. The sessions stay in the table, but are revoked.
                let version = self.world.columns(ALICE).await.version.unwrap() + 1;
                let version = version.to_string();
                self.world.db.write(ALICE, Column::Version, Some(&version)).await;
                self.revoked_by_sql();
                "a bump by SQL"
            }
            27 => {
                let hash = PASSWORD_HASH.replace("salt", &format!("sa{:02}", self.now % 100));
                self.world.db.write(ALICE, Column::PasswordHash, Some(&hash)).await;
                self.revoked_by_sql();
                "a new password by SQL"
            }
            28 if is_alive => {
                let known = &self.known[picked];
                let session = service.authenticate(known.newest().access()).await.unwrap();
                let data = SessionData::new(&role(&self.now.to_string())).unwrap();
                let set = service.set_session_data(&session, known.id, Some(data.clone()));
                assert!(set.await.unwrap());
                let listed = service.sessions(&session).await.unwrap();
                let own = listed.iter().find(|info| info.id() == known.id).unwrap();
                assert_eq!(own.data(), Some(&data));
                "set_session_data"
            }
            29 | 30 if is_alive && self.known[picked].chain.len() > 1 => {
                self.pass(11);
                self.present_predecessor(&service, picked).await;
                "refresh by the predecessor, late"
            }
            21 | 22 => {
                let key = UserKey::Login("alice");
                let issued = service.issue::<MagicLink>(key, &NoClaims {}).sign().await;
                self.links.open.push(issued.unwrap().unwrap().1);
                "issue"
            }
            _ => {
                let Some(link) = self.links.open.pop() else { return "nothing" };
                let used_up = Token::new(link.expose());
                let tokens = service.one_time(link).login("device").await.unwrap();
                self.links.void.append(&mut self.links.open);
                self.links.void.push(used_up);
                self.started(tokens);
                "login by a link"
            }
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.world.clock.set(self.now);
    }

    async fn present_predecessor(&mut self, service: &Service<Profile, Role>, picked: usize) {
        let known = &mut self.known[picked];
        let [.., before, newest] = &known.chain[..] else { unreachable!() };
        let outcome = service.refresh(again(before)).await;
        let (elapsed, length) = (self.now - known.refreshed_at, known.chain.len());
        let is_late = elapsed > 10 && elapsed <= LATE_REPEAT && !known.late.contains(&(length - 1));
        match elapsed <= 10 || is_late {
            true => {
                if is_late {
                    known.late.push(length);
                }
                let retried = outcome.unwrap();
                assert_eq!(retried.refresh().expose(), newest.refresh().expose());
            }
            false => {
                assert_eq!(outcome.unwrap_err().reason(), Some(Reason::RefreshReused));
                known.is_alive = false;
            }
        }
    }

    fn started(&mut self, tokens: Tokens) {
        if let Some(evicted) = tokens.evicted() {
            for known in self.known.iter_mut().filter(|known| known.id == evicted.id()) {
                known.is_alive = false;
            }
        }
        let (id, refreshed_at) = (tokens.session().id(), self.now);
        assert!(self.known.iter().all(|known| known.id != id), "a session's id was given again");
        let (chain, late) = (vec![tokens], Vec::new());
        let known = Known { id, chain, late, is_alive: true, is_void: false, refreshed_at };
        self.known.push(known);
    }

    /// Where the library is not asked, the sessions stay in the table until a login takes their slot.
    fn revoked_by_sql(&mut self) {
        for known in &mut self.known {
            known.is_void |= known.is_alive;
        }
        self.revoked_all();
    }

    fn revoked_all(&mut self) {
        self.known.iter_mut().for_each(|known| known.is_alive = false);
        self.links.void.append(&mut self.links.open);
    }

    /// Checks every token that was ever issued, in both processes.
    async fn check(&self, after: &str) {
        for service in &self.services {
            for known in &self.known {
                for tokens in known.chain.iter().rev().take(3) {
                    let reason = refused(service, tokens.access()).await;
                    assert_eq!(reason.is_none(), known.is_alive, "{after}: {reason:?}");
                }
                if !known.is_alive {
                    let refreshed = service.refresh(again(known.newest())).await;
                    assert!(matches!(refreshed, Err(ServiceError::Rejected(_))), "{after}");
                }
            }
            for link in &self.links.open {
                service.peek(link).await.unwrap_or_else(|error| panic!("{after}: {error}"));
            }
            for link in &self.links.void {
                assert!(service.peek(link).await.is_err(), "{after}");
            }
        }
        let alive = self.known.iter().filter(|known| known.is_alive).count();
        assert_eq!(self.world.labels().await.len(), alive, "{after}");
    }
}

impl Known {
    fn newest(&self) -> &Tokens {
        self.chain.last().unwrap()
    }
}
