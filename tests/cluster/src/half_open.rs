//! Connections that neither side has closed, and over which data is lost: a firewall forgot them, or a
//! machine went away.

use std::time::Duration;

use relatch::{RefreshToken, SessionTokens, service::ServiceError, store::UserKey};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::Cluster,
    concurrently, expect, plain, prepare,
    proxy::{Loss, Proxy},
    rpc::Database,
    site::{Failure, Site},
    storm::{FIRST_PASSWORD, user_id},
};

const SESSIONS: u32 = 8;

/// The connections that are lost at once: as many as a store's pool keeps.
const CONNECTIONS: usize = 8;

/// A call reads and writes, each within the store's timeout of 5 seconds.
const LONGEST: Duration = Duration::from_secs(12);

/// How long the connections are idle before the call. A store may test the ones that were idle for long.
const IDLE: [Duration; 2] = [Duration::ZERO, Duration::from_millis(1500)];

#[derive(Clone, Copy, Debug)]
enum Call {
    Authenticate,
    StartSession,
    Refresh,
    LogOut,
    LogOutOthers,
    LogOutEverywhere,
    SetPassword,
}

const CALLS: [Call; 7] = [
    Call::Authenticate,
    Call::StartSession,
    Call::Refresh,
    Call::LogOut,
    Call::LogOutOthers,
    Call::LogOutEverywhere,
    Call::SetPassword,
];

/// One call on a service whose connections have all become half-open.
struct Case {
    call: Call,
    loss: Loss,
    idle: Duration,
}

/// New connections work, so that each call must succeed within its time, and do what it says.
pub async fn run(cluster: &Cluster) -> Result<(), Failure> {
    let database = cluster.database("half_open").await?;
    let cases: Vec<_> = IDLE
        .into_iter()
        .flat_map(|idle| [Loss::Both, Loss::Answers].map(|loss| (idle, loss)))
        .flat_map(|(idle, loss)| CALLS.map(|call| Case { call, loss, idle }))
        .collect();
    let direct = prepare(&plain(database, SESSIONS), cases.len()).await?;
    let all = cases.iter().enumerate().map(|(user, case)| case.run(cluster, &direct, user));
    let (mut slowest, mut failed) = (Duration::ZERO, Vec::new());
    for (case, answered) in cases.iter().zip(concurrently(all).await) {
        let (answer, took) = answered?;
        slowest = slowest.max(took);
        if let Err(error) = answer {
            let Case { call, loss, idle } = case;
            failed.push(format!("{call:?} ({loss:?} lost, idle for {idle:?}): {error}"));
        }
    }
    println!(
        "half-open connections: {} of {} calls succeeded, the slowest in {slowest:.1?}",
        cases.len() - failed.len(),
        cases.len(),
    );
    expect(failed.is_empty(), "with half-open connections", &failed)?;
    expect(slowest < LONGEST, "the slowest call", &slowest)
}

type Answer = (Result<(), String>, Duration);

impl Case {
    async fn run(&self, cluster: &Cluster, direct: &Site, user: usize) -> Result<Answer, Failure> {
        let id = user_id(user);
        let proxy = Proxy::start(cluster.directory()).await?;
        let site = Site::open(&plain(Database::Postgres(proxy.url("half_open")), SESSIONS)).await?;
        let tokens = site.service.start_session(&id, "device").await?;
        let other = site.service.start_session(&id, "other device").await?;
        let session = site.service.authenticate_fresh(tokens.access()).await?;
        let since = Instant::now();
        loop {
            // By login: reads by id share statements, and so connections.
            let reads = (0..3 * CONNECTIONS).map(|_| site.store.read(UserKey::Login(&id)));
            concurrently(reads).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            if proxy.connections() >= CONNECTIONS {
                break;
            }
            expect(since.elapsed().as_secs() < 10, "connections of a pool", &proxy.connections())?;
        }
        sleep(self.idle).await;
        proxy.silence(self.loss);

        let service = &site.service;
        let began = Instant::now();
        let refresh = || RefreshToken::new(tokens.refresh().expose());
        let mut given: Option<SessionTokens> = None;
        let answer: Result<(), ServiceError> = match self.call {
            Call::Authenticate => service.authenticate_fresh(tokens.access()).await.map(drop),
            Call::StartSession => {
                service.start_session(&id, "new").await.map(|new| given = Some(new))
            }
            Call::Refresh => service.refresh(refresh()).await.map(|new| given = Some(new)),
            Call::LogOut => service.log_out(&session).await.map(drop),
            Call::LogOutOthers => {
                service.log_out_others(tokens.access()).await.map(|new| given = Some(new))
            }
            Call::LogOutEverywhere => service.log_out_everywhere(&id).await,
            Call::SetPassword => service.set_password(&id, "another password").await,
        };
        let took = began.elapsed();
        if let Err(error) = answer {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            return Ok((Err(format!("{error} ({})", source.unwrap_or_default())), took));
        }

        // What it says is what the database holds.
        let lives = async |tokens: &SessionTokens| {
            direct.service.authenticate_fresh(tokens.access()).await.is_ok()
        };
        let first = matches!(self.call, Call::Authenticate | Call::StartSession | Call::Refresh);
        let second = first || matches!(self.call, Call::LogOut);
        let new = match &given {
            Some(new) => lives(new).await,
            None => true,
        };
        let found = (lives(&tokens).await, lives(&other).await, new);
        if found != (first, second, true) {
            return Ok((Err(format!("the sessions that are alive afterwards: {found:?}")), took));
        }
        if matches!(self.call, Call::SetPassword) {
            let old = direct.service.login(&id, FIRST_PASSWORD, "device").await.is_ok();
            let new = direct.service.login(&id, "another password", "device").await.is_ok();
            expect((old, new) == (false, true), "the passwords that are right", &(old, new))?;
        }
        Ok((Ok(()), took))
    }
}
