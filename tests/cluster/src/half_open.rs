//! Connections that neither side has closed, and over which data is lost: a firewall forgot them, or a
//! machine went away.

use std::time::Duration;

use relatch::{
    RefreshToken, SessionTokens, Verified,
    service::{Service, ServiceError},
    store::{StoredUser, UserKey},
};
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

const NEW_PASSWORD: &str = "another password";

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

/// The answer to a call, and how long it took.
type Answer = (Result<(), String>, Duration);

/// A user's two sessions, from before the connections were lost.
struct Sessions {
    id: String,
    own: SessionTokens,
    verified: Verified<StoredUser>,
    other: SessionTokens,
}

impl Case {
    async fn run(&self, cluster: &Cluster, direct: &Site, user: usize) -> Result<Answer, Failure> {
        let id = user_id(user);
        let proxy = Proxy::start(cluster.directory()).await?;
        let site = Site::open(&plain(Database::Postgres(proxy.url("half_open")), SESSIONS)).await?;
        let own = site.service.start_session(&id, "device").await?;
        let verified = site.service.authenticate_fresh(own.access()).await?;
        let other = site.service.start_session(&id, "other device").await?;
        let sessions = Sessions { id, own, verified, other };
        until_connected(&site, &proxy, &sessions.id).await?;
        sleep(self.idle).await;
        proxy.silence(self.loss);

        let began = Instant::now();
        let answer = self.call.make(&site.service, &sessions).await;
        let took = began.elapsed();
        Ok(match answer {
            Ok(given) => (self.call.is_stored(&direct.service, &sessions, given).await, took),
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                (Err(format!("{error} ({})", source.unwrap_or_default())), took)
            }
        })
    }
}

/// Makes the store's pool open its connections.
async fn until_connected(site: &Site, proxy: &Proxy, id: &str) -> Result<(), Failure> {
    let since = Instant::now();
    while proxy.connections() < CONNECTIONS {
        expect(since.elapsed().as_secs() < 10, "connections of a pool", &proxy.connections())?;
        // By login: reads by id share statements, and so connections.
        let reads = (0..3 * CONNECTIONS).map(|_| site.store.read(UserKey::Login(id)));
        concurrently(reads).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

impl Call {
    /// Makes the call, and returns the tokens that it gives.
    async fn make(
        self,
        service: &Service,
        Sessions { id, own, verified, .. }: &Sessions,
    ) -> Result<Option<SessionTokens>, ServiceError> {
        match self {
            Self::Authenticate => service.authenticate_fresh(own.access()).await.map(|_| None),
            Self::StartSession => service.start_session(id, "new").await.map(Some),
            Self::Refresh => {
                service.refresh(RefreshToken::new(own.refresh().expose())).await.map(Some)
            }
            Self::LogOut => service.log_out(verified).await.map(|_| None),
            Self::LogOutOthers => service.log_out_others(own.access()).await.map(Some),
            Self::LogOutEverywhere => service.log_out_everywhere(id).await.map(|_| None),
            Self::SetPassword => service.set_password(id, NEW_PASSWORD).await.map(|_| None),
        }
    }

    /// Whether the database holds what the answer says.
    async fn is_stored(
        self,
        service: &Service,
        Sessions { id, own, other, .. }: &Sessions,
        given: Option<SessionTokens>,
    ) -> Result<(), String> {
        let lives = async |tokens: &SessionTokens| {
            service.authenticate_fresh(tokens.access()).await.is_ok()
        };
        let first = matches!(self, Self::Authenticate | Self::StartSession | Self::Refresh);
        let second = first || matches!(self, Self::LogOut);
        let new = match &given {
            Some(new) => lives(new).await,
            None => true,
        };
        let found = (lives(own).await, lives(other).await, new);
        if found != (first, second, true) {
            return Err(format!("the sessions that are alive afterwards: {found:?}"));
        }
        if matches!(self, Self::SetPassword) {
            let old = service.login(id, FIRST_PASSWORD, "device").await.is_ok();
            let new = service.login(id, NEW_PASSWORD, "device").await.is_ok();
            if (old, new) != (false, true) {
                return Err(format!("the passwords that are right afterwards: {:?}", (old, new)));
            }
        }
        Ok(())
    }
}
