//! A server process: runs all commands concurrently, and answers each when it is done.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use relatch::{
    Access, NoClaims, RefreshToken, SessionTokens, Token,
    one_time::MagicLink,
    service::{Service, ServiceError},
    store::UserKey,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout},
    sync::mpsc,
    task::yield_now,
    time::sleep,
};

use crate::{
    rpc::{Answer, Config, Op, Outcome, Request},
    site::{Failure, Site},
};

pub async fn run(config: Config) -> Result<(), Failure> {
    let site = Arc::new(Site::open(&config).await?);
    let (answers, mut written) = mpsc::unbounded_channel::<Answer>();
    tokio::spawn(async move {
        let mut out = stdout();
        while let Some(answer) = written.recv().await {
            let Ok(mut line) = serde_json::to_vec(&answer) else { continue };
            line.push(b'\n');
            if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
                return;
            }
        }
    });
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Request { number, op } = serde_json::from_str(&line)?;
        let (site, answers) = (Arc::clone(&site), answers.clone());
        tokio::spawn(async move {
            let outcome = match run_op(&site, op).await {
                Ok(outcome) => outcome,
                Err(error) => failed(&error),
            };
            let _ = answers.send(Answer { number, outcome, at: now() });
        });
    }
    Ok(())
}

async fn run_op(site: &Site, op: Op) -> Result<Outcome, ServiceError> {
    let service = &site.service;
    let access = |text: String| Token::<Access>::new(text);
    Ok(match op {
        Op::Start { user } => tokens(service.start_session(&user, "device").await?),
        Op::Login { user, password } => tokens(service.login(&user, &password, "device").await?),
        Op::Refresh { token } => tokens(service.refresh(RefreshToken::new(token)).await?),
        Op::Authenticate { token, fresh } => {
            let token = access(token);
            match fresh {
                true => service.authenticate_fresh(&token).await.map(drop)?,
                false => service.authenticate(&token).await.map(drop)?,
            }
            Outcome::Done
        }
        Op::LogOut { access: text } => {
            let session = service.authenticate_fresh(&access(text)).await?;
            Outcome::Is(service.log_out(&session).await?)
        }
        Op::LogOutOthers { access: text } => tokens(service.log_out_others(&access(text)).await?),
        Op::ChangePassword { access: text, present, new } => {
            tokens(service.change_password(&access(text), &present, &new).await?)
        }
        Op::SetPassword { user, new } => {
            service.set_password(&user, &new).await?;
            Outcome::Done
        }
        Op::Bump { user } => {
            service.log_out_everywhere(&user).await?;
            Outcome::Done
        }
        Op::Issue { user } => {
            let key = UserKey::Id(&user);
            match service.issue::<MagicLink>(key, &NoClaims {}).sign().await? {
                Some((_, link)) => Outcome::Link(link.expose().to_owned()),
                None => Outcome::NoSuchUser,
            }
        }
        Op::Consume { link } => {
            service.one_time(Token::<MagicLink>::new(link)).consume().await.map(drop)?;
            Outcome::Done
        }
        Op::WatchUntilRefused { token, pause_us } => {
            watch(service, &access(token), Duration::from_micros(pause_us)).await?
        }
        Op::IsListening => {
            Outcome::Is(site.listener.as_ref().is_some_and(|listener| listener.is_connected()))
        }
    })
}

async fn watch(
    service: &Service,
    token: &Token<Access>,
    pause: Duration,
) -> Result<Outcome, ServiceError> {
    loop {
        match service.authenticate(token).await {
            Ok(_) if pause.is_zero() => yield_now().await,
            Ok(_) => sleep(pause).await,
            Err(error) => return Err(error),
        }
    }
}

fn tokens(tokens: SessionTokens) -> Outcome {
    Outcome::Tokens {
        evicted: tokens.evicted().map(|session| session.id().to_string()),
        access: tokens.access().expose().to_owned(),
        refresh: tokens.refresh().expose().to_owned(),
    }
}

fn failed(error: &ServiceError) -> Outcome {
    match error {
        ServiceError::Rejected(rejection) => Outcome::Rejected(rejection.reason().as_str().into()),
        ServiceError::LoginRefused(_) | ServiceError::WrongPassword(_) => Outcome::Refused,
        ServiceError::NoSuchUser => Outcome::NoSuchUser,
        ServiceError::Busy => Outcome::Busy,
        ServiceError::Store(error) if error.is_unreachable() => {
            let source = std::error::Error::source(error).map(ToString::to_string);
            Outcome::Unavailable(source.unwrap_or_default())
        }
        other => {
            let source = std::error::Error::source(other).map(ToString::to_string);
            Outcome::Failed(format!("{other}: {}", source.unwrap_or_default()))
        }
    }
}

/// Nanoseconds of the machine's clock, which all its processes share.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
