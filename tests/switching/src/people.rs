//! Users with devices, and what each of them must get from every instance.

use std::{collections::hash_map::RandomState, hash::BuildHasher, ops::AddAssign};

use serde_json::json;

use crate::{
    Failure, failure,
    http::{self, Answer},
    instance::Mode,
};

/// An instance, as the users reach it.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub mode: Mode,
    pub port: u16,
}

/// The answers of one phase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub requests: u64,
    pub sign_ups: u64,
    pub logins: u64,
    pub refreshes: u64,
    /// Refreshes and changes of the password by which a device came to tokens of relatch.
    pub exchanges: u64,
    pub password_changes: u64,
    pub logouts: u64,
    /// Requests of devices that had been logged out, each of them refused.
    pub refused: u64,
    /// Plain access tokens of logged-out devices that were accepted, as the old application does.
    pub as_before: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.sign_ups += other.sign_ups;
        self.logins += other.logins;
        self.refreshes += other.refreshes;
        self.exchanges += other.exchanges;
        self.password_changes += other.password_changes;
        self.logouts += other.logouts;
        self.refused += other.refused;
        self.as_before += other.as_before;
    }
}

/// Some users, who do one thing at a time.
pub struct People {
    name: String,
    users: Vec<User>,
    dice: Dice,
    /// Whether plain access tokens are still accepted.
    takes_plain: bool,
    counts: Counts,
}

struct User {
    email: String,
    password: String,
    /// Whether relatch has changed the row.
    is_relatchs: bool,
    devices: Vec<Device>,
}

struct Device {
    access: String,
    refresh: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In,
    /// Logged out. The access token is refused, unless it is a plain one that only the old code has
    /// revoked, which is not at all.
    Out {
        accepts_access: bool,
    },
}

impl Device {
    /// The old application's refresh tokens are no JWT.
    fn is_plain(&self) -> bool {
        !self.refresh.contains('.')
    }
}

impl User {
    /// Whether relatch handles this user's requests at that instance.
    fn is_relatchs_at(&self, at: Address) -> bool {
        match at.mode {
            Mode::Old => false,
            Mode::NewIssuingPlain => self.is_relatchs,
            Mode::New | Mode::Switched => true,
        }
    }

    /// All devices but this one are logged out.
    fn keep_only(&mut self, kept: Option<usize>, by_relatch: bool) {
        let all = self.devices.iter_mut().enumerate();
        for (_, device) in all.filter(|(at, _)| Some(*at) != kept) {
            let accepts_access = match device.state {
                State::In => device.is_plain(),
                State::Out { accepts_access } => accepts_access,
            };
            device.state = State::Out { accepts_access: accepts_access && !by_relatch };
        }
    }
}

impl People {
    pub fn new(name: String, seed: u64) -> Self {
        let (users, counts) = (Vec::new(), Counts::default());
        Self { name, users, dice: Dice(seed), takes_plain: true, counts }
    }

    /// The counts since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Does a number of random things at random instances.
    pub async fn live(&mut self, instances: &[Address], steps: usize) -> Result<(), Failure> {
        for _ in 0..steps {
            let at = self.instance(instances);
            match self.dice.below(20) {
                _ if self.users.is_empty() => self.sign_up(at).await?,
                0 | 1 => self.sign_up(at).await?,
                2 | 3 => self.log_in(at).await?,
                4 => self.log_in_wrongly(at).await?,
                5 => self.refresh_twice(instances).await?,
                6..10 => self.on_a_device(at, Act::Refresh).await?,
                10 => self.on_a_device(at, Act::ChangePassword).await?,
                11 => self.on_a_device(at, Act::LogOut).await?,
                _ => self.on_a_device(at, Act::Ask).await?,
            }
        }
        Ok(())
    }

    /// Asks with the tokens of every device, and refreshes some: the others keep their old tokens.
    pub async fn check_all(&mut self, instances: &[Address]) -> Result<(), Failure> {
        for user in 0..self.users.len() {
            for device in 0..self.users[user].devices.len() {
                let at = self.instance(instances);
                self.act(at, user, device, Act::Ask).await?;
                if self.dice.below(4) == 0 {
                    let at = self.instance(instances);
                    self.act(at, user, device, Act::Refresh).await?;
                }
            }
        }
        Ok(())
    }

    /// The deadline has passed: a device with plain tokens is refused, and refreshes.
    pub async fn pass_the_deadline(&mut self, instances: &[Address]) -> Result<(), Failure> {
        self.takes_plain = false;
        self.check_all(instances).await
    }

    /// Whether every device that is logged in has tokens of relatch.
    pub fn are_switched(&self) -> bool {
        let mut devices = self.users.iter().flat_map(|user| &user.devices);
        devices.all(|device| device.state != State::In || !device.is_plain())
    }

    /// The numbers of users, and of devices that are logged in.
    pub fn size(&self) -> (usize, usize) {
        let devices = self.users.iter().flat_map(|user| &user.devices);
        (self.users.len(), devices.filter(|device| device.state == State::In).count())
    }

    fn instance(&mut self, instances: &[Address]) -> Address {
        instances[self.dice.below(instances.len())]
    }

    async fn sign_up(&mut self, at: Address) -> Result<(), Failure> {
        let email = format!("{}-{}@example.com", self.name, self.users.len());
        let password = format!("the first password of {email}");
        let body = json!({ "email": email, "password": password });
        let answer = http::post(at.port, "/signup", None, &body).await?;
        expect(&answer, 200, at, "a sign-up")?;
        let mut user = User { email, password, is_relatchs: false, devices: Vec::new() };
        take(&mut user, None, &answer, &mut self.counts)?;
        self.users.push(user);
        self.counts.requests += 1;
        self.counts.sign_ups += 1;
        Ok(())
    }

    async fn log_in(&mut self, at: Address) -> Result<(), Failure> {
        let user = self.dice.below(self.users.len());
        let user = &mut self.users[user];
        // Fewer than the slots of a user: nobody is evicted.
        if user.devices.iter().filter(|device| device.state == State::In).count() >= 6 {
            return Ok(());
        }
        let body = json!({ "email": user.email, "password": user.password });
        let answer = http::post(at.port, "/login", None, &body).await?;
        expect(&answer, 200, at, "a login")?;
        take(user, None, &answer, &mut self.counts)?;
        self.counts.requests += 1;
        self.counts.logins += 1;
        Ok(())
    }

    async fn log_in_wrongly(&mut self, at: Address) -> Result<(), Failure> {
        let user = self.dice.below(self.users.len());
        let body =
            json!({ "email": self.users[user].email, "password": "a password that is wrong" });
        let answer = http::post(at.port, "/login", None, &body).await?;
        self.counts.requests += 1;
        self.counts.refused += 1;
        expect(&answer, 401, at, "a login with a wrong password")
    }

    /// Presents a plain refresh token at two instances of one kind at once: one of them takes it.
    async fn refresh_twice(&mut self, instances: &[Address]) -> Result<(), Failure> {
        let at = self.instance(instances);
        let alike: Vec<_> = instances.iter().filter(|other| other.mode == at.mode).collect();
        let other = *alike[self.dice.below(alike.len())];
        let user = self.dice.below(self.users.len());
        let user = &mut self.users[user];
        let is_plain_in = |device: &Device| device.state == State::In && device.is_plain();
        let Some(device) = user.devices.iter().position(is_plain_in) else { return Ok(()) };
        let body = json!({ "refresh_token": user.devices[device].refresh });
        let (one, two) = tokio::try_join!(
            http::post(at.port, "/refresh", None, &body),
            http::post(other.port, "/refresh", None, &body),
        )?;
        let (taken, refused) = if one.status == 200 { (one, two) } else { (two, one) };
        expect(&taken, 200, at, "one of two refreshes at once")?;
        expect(&refused, 401, at, "the other of two refreshes at once")?;
        take(user, Some(device), &taken, &mut self.counts)?;
        self.counts.requests += 2;
        self.counts.refreshes += 1;
        self.counts.refused += 1;
        Ok(())
    }

    async fn on_a_device(&mut self, at: Address, act: Act) -> Result<(), Failure> {
        let user = self.dice.below(self.users.len());
        let device = self.dice.below(self.users[user].devices.len());
        self.act(at, user, device, act).await
    }

    async fn act(
        &mut self,
        at: Address,
        user: usize,
        device: usize,
        act: Act,
    ) -> Result<(), Failure> {
        let user = &mut self.users[user];
        let is_plain = user.devices[device].is_plain();
        match user.devices[device].state {
            State::In if is_plain && !self.takes_plain && act != Act::Refresh => {
                // The client refreshes, as it does whenever an access token has expired.
                let answer = ask(&user.devices[device], at).await?;
                expect(&answer, 401, at, "a plain token after the deadline")?;
                self.counts.requests += 1;
                self.counts.refused += 1;
                refresh(user, device, at, &mut self.counts).await
            }
            State::In => match act {
                Act::Ask => {
                    self.counts.requests += 1;
                    expect(&ask(&user.devices[device], at).await?, 200, at, "a request")
                }
                Act::Refresh => refresh(user, device, at, &mut self.counts).await,
                Act::ChangePassword => change_password(user, device, at, &mut self.counts).await,
                Act::LogOut => log_out(user, device, at, &mut self.counts).await,
            },
            State::Out { accepts_access } => {
                let body = json!({ "refresh_token": user.devices[device].refresh });
                let answer = http::post(at.port, "/refresh", None, &body).await?;
                expect(&answer, 401, at, "a refresh after a logout")?;
                let answer = ask(&user.devices[device], at).await?;
                self.counts.requests += 2;
                self.counts.refused += 1;
                match accepts_access && self.takes_plain {
                    true => {
                        self.counts.as_before += 1;
                        expect(&answer, 200, at, "a plain token that nothing has revoked")
                    }
                    false => {
                        self.counts.refused += 1;
                        expect(&answer, 401, at, "a request after a logout")
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Ask,
    Refresh,
    ChangePassword,
    LogOut,
}

async fn ask(device: &Device, at: Address) -> Result<Answer, Failure> {
    http::get(at.port, "/me", &device.access).await
}

async fn refresh(
    user: &mut User,
    device: usize,
    at: Address,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let body = json!({ "refresh_token": user.devices[device].refresh });
    let answer = http::post(at.port, "/refresh", None, &body).await?;
    expect(&answer, 200, at, "a refresh")?;
    take(user, Some(device), &answer, counts)?;
    counts.requests += 1;
    counts.refreshes += 1;
    Ok(())
}

async fn change_password(
    user: &mut User,
    device: usize,
    at: Address,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let by_relatch = user.is_relatchs_at(at);
    let new = format!("password {} of {}", counts.requests, user.email);
    let wrong = json!({ "password": "a password that is wrong", "new_password": new });
    let access = user.devices[device].access.clone();
    let answer = http::post(at.port, "/password", Some(&access), &wrong).await?;
    expect(&answer, 403, at, "a change of the password by a wrong one")?;
    let right = json!({ "password": user.password, "new_password": new });
    let answer = http::post(at.port, "/password", Some(&access), &right).await?;
    expect(&answer, 200, at, "a change of the password")?;
    user.password = new;
    take(user, Some(device), &answer, counts)?;
    user.keep_only(Some(device), by_relatch);
    counts.requests += 2;
    counts.refused += 1;
    counts.password_changes += 1;
    Ok(())
}

async fn log_out(
    user: &mut User,
    device: usize,
    at: Address,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let by_relatch = user.is_relatchs_at(at);
    let Device { access, refresh, .. } = &user.devices[device];
    let body = json!({ "refresh_token": refresh });
    let answer = http::post(at.port, "/logout", Some(access), &body).await?;
    expect(&answer, 204, at, "a logout")?;
    let is_plain = user.devices[device].is_plain();
    match by_relatch && is_plain {
        // A plain token ends with all others of the user.
        true => {
            user.is_relatchs = true;
            user.keep_only(None, true);
        }
        false => user.devices[device].state = State::Out { accepts_access: is_plain },
    }
    counts.requests += 1;
    counts.logouts += 1;
    Ok(())
}

/// Takes the tokens of an answer, for this device or a new one, and counts an exchange of plain ones.
fn take(
    user: &mut User,
    device: Option<usize>,
    answer: &Answer,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let (access, refresh) = (answer.text("access_token")?, answer.text("refresh_token")?);
    let new = Device { access, refresh, state: State::In };
    let was_plain = device.is_some_and(|device| user.devices[device].is_plain());
    counts.exchanges += u64::from(was_plain && !new.is_plain());
    user.is_relatchs |= !new.is_plain();
    match device {
        Some(device) => user.devices[device] = new,
        None => user.devices.push(new),
    }
    Ok(())
}

fn expect(answer: &Answer, status: u16, at: Address, what: &str) -> Result<(), Failure> {
    match answer.status == status {
        true => Ok(()),
        false => Err(failure(&format!(
            "{what} at an instance of {:?} was answered {}, not {status}: {}",
            at.mode,
            answer.status,
            answer.body.chars().take(100).collect::<String>()
        ))),
    }
}

/// Random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A seed of the system's randomness.
pub fn seed() -> u64 {
    RandomState::new().hash_one(0) % 1_000_000
}
