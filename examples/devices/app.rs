//! The application: what its routes call.

use std::{convert::Infallible, error::Error, fmt, sync::mpsc::Sender};

use relatch::{
    Access, AccessToken, Authority, Carried, Committed, Context, Counter, Credential,
    CredentialError, Decision, IssueError, NoClaims, Purpose, RecordError, RefreshError,
    RefreshToken, Rejection, Session, SessionEvent, SessionId, SessionInfo, SessionTokens, Token,
    VerifyError,
    one_time::{EmailConfirmation, MagicLink, PasswordReset},
    password::{PasswordError, PasswordHasher},
};
use time::OffsetDateTime;
use tokio::task::{JoinError, spawn_blocking};

use crate::db::{Account, Db};

/// How often a decision is made anew before the client is told to try later.
const ATTEMPTS: usize = 5;

pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) authority: Authority,
    pub(crate) hasher: PasswordHasher,
    /// To whoever watches over the service.
    pub(crate) events: Sender<SessionEvent>,
}

// ---- Logging in, and each request ----------------------------------------------------------

impl App {
    pub(crate) async fn register(&self, id: &str, email: &str, password: &str) -> Result<()> {
        let first = Counter::INITIAL.next(OffsetDateTime::now_utc()).unwrap_or_default();
        Ok(self.db.insert((id, email), &self.hash(password).await?, first).await?)
    }

    /// Tokens for this device, or `None` if there is no such user or the password is wrong.
    pub(crate) async fn log_in(
        &self,
        (id, password): (&str, &str),
        device: &str,
        context: Context,
    ) -> Result<Option<SessionTokens>> {
        for _ in 0..ATTEMPTS {
            // Read and checked anew each time: the password may be what was changed meanwhile.
            let account = self.db.find(id).await?;
            let stored = account.as_ref().map(|account| account.password_hash.clone());
            let (hasher, typed) = (self.hasher.clone(), password.to_owned());
            let check = spawn_blocking(move || hasher.verify(&typed, stored.as_deref()));
            let (Some(matched), Some(read)) = (check.await??, account) else { return Ok(None) };
            let edited = match matched.needs_rehash() {
                true => self.rehashed(&read, password).await?,
                false => read.clone(),
            };
            let issue =
                self.authority.issue::<Access>(&edited, &NoClaims {}).context(context.clone());
            let started = issue.start_session(device)?;
            if let Committed::Stored(tokens) = self.store(&read, started, &edited).await? {
                return Ok(Some(tokens));
            }
        }
        Err(Failure::Busy)
    }

    pub(crate) async fn authenticate(&self, token: &AccessToken) -> Result<Session<Account>> {
        Ok(self.authority.verify_async(token, async |id| self.db.find(&id).await).await?)
    }

    pub(crate) async fn refresh(&self, token: RefreshToken) -> Result<SessionTokens> {
        let opened = self.authority.open_refresh(token)?;
        let refreshed = self.decide(opened.user_id(), |read| Ok(opened.refresh(read)?)).await?;
        if let Some(event) = refreshed.event() {
            // A refresh goes on though nobody is watching.
            let _ = self.events.send(event.clone());
        }
        Ok(refreshed.into_tokens()?)
    }
}

// ---- The page "your devices" ---------------------------------------------------------------

impl App {
    /// The user's sessions, and whether each is the present one.
    pub(crate) fn devices(&self, session: &Session<Account>) -> Result<Vec<(SessionInfo, bool)>> {
        let own = session.id();
        let sessions = self.authority.sessions(session.user())?.into_iter();
        Ok(sessions.map(|info| (info.clone(), Some(info.id()) == own)).collect())
    }

    pub(crate) async fn log_out(&self, session: &Session<Account>, id: SessionId) -> Result<bool> {
        self.decide(&session.user().id, |read| Ok(self.authority.log_out(read, id)?)).await
    }

    /// A page would ask for the password first.
    pub(crate) async fn log_out_others(&self, token: &AccessToken) -> Result<SessionTokens> {
        self.keep(token, |session| {
            Ok((self.authority.log_out_others(session)?, session.user().clone()))
        })
        .await
    }

    /// As would this one. All other devices are logged out.
    pub(crate) async fn change_password(
        &self,
        token: &AccessToken,
        new: &str,
    ) -> Result<SessionTokens> {
        let hash = self.hash(new).await?;
        self.keep(token, |session| {
            let password_hash = hash.clone();
            let new = Account { password_hash, carried: None, ..session.user().clone() };
            Ok((self.authority.change_password(session, &new)?, new))
        })
        .await
    }

    async fn keep(
        &self,
        token: &AccessToken,
        decide: impl Fn(&Session<Account>) -> Result<(Decision<SessionTokens>, Account)>,
    ) -> Result<SessionTokens> {
        for _ in 0..ATTEMPTS {
            // Verified anew each time: what was changed meanwhile may have been this session.
            let session = self.authenticate(token).await?;
            let (kept, edited) = decide(&session)?;
            if let Committed::Stored(tokens) = self.store(session.user(), kept, &edited).await? {
                return Ok(tokens);
            }
        }
        Err(Failure::Busy)
    }

    pub(crate) async fn log_out_everywhere(&self, session: &Session<Account>) -> Result<()> {
        self.decide(&session.user().id, |read| Ok(self.authority.log_out_everywhere(read)?)).await
    }
}

// ---- Links that work once ------------------------------------------------------------------

impl App {
    /// The text behind the `#` of the link that is mailed. An unknown user is answered likewise.
    pub(crate) async fn link<P: Purpose<Claims = NoClaims>>(
        &self,
        id: &str,
    ) -> Result<Option<String>> {
        let Some(account) = self.db.find(id).await? else { return Ok(None) };
        let token = self.authority.issue::<P>(&account, &NoClaims {}).sign()?;
        Ok(Some(token.expose().to_owned()))
    }

    /// `GET`: whose the link is, so that its page shows a form.
    pub(crate) async fn look_at<P: Purpose>(&self, link: &str) -> Result<String> {
        let token = Token::<P>::new(link);
        let lookup = async |id: String| self.db.find(&id).await;
        Ok(self.authority.peek_async(&token, lookup).await?.user().id.clone())
    }

    /// `POST`: the new hash is stored and all devices are logged out, in the statement that uses
    /// the link up.
    pub(crate) async fn reset_password(&self, link: &str, password: &str) -> Result<()> {
        let opened = self.authority.open_once(Token::<PasswordReset>::new(link))?;
        let hash = self.hash(password).await?;
        self.decide_and_edit(opened.user_id(), |read| {
            let new = Account { password_hash: hash.clone(), carried: None, ..read.clone() };
            Ok((opened.consume(read)?, new))
        })
        .await
        .map(drop)
    }

    /// `POST`: the session is started in the statement that uses the link up, for the very record
    /// that the link was good for.
    pub(crate) async fn log_in_by_link(&self, link: &str, device: &str) -> Result<SessionTokens> {
        let opened = self.authority.open_once(Token::<MagicLink>::new(link))?;
        self.decide_and_edit(opened.user_id(), |read| {
            let used = opened.consume(read)?;
            let started = used.and_then(read, |user| self.authority.start_session(user, device))?;
            Ok((started.map(|(_, tokens)| tokens), read.clone()))
        })
        .await
    }

    /// The text of the link that is mailed to the new address.
    pub(crate) async fn change_email(
        &self,
        session: &Session<Account>,
        address: &str,
    ) -> Result<String> {
        let account = session.user();
        self.db.set_new_email(&account.id, address).await?;
        let issue = self.authority.issue::<EmailConfirmation>(account, &NoClaims {});
        Ok(issue.context(Context::new().with_email(address)).sign()?.expose().to_owned())
    }

    /// `POST`: the address that the record holds is the user's, if the link was made for it.
    pub(crate) async fn confirm_email(&self, link: &str) -> Result<()> {
        let mut opened = self.authority.open_once(Token::<EmailConfirmation>::new(link))?;
        let id = opened.user_id().to_owned();
        self.decide_and_edit(&id, |read| {
            let email = read.new_email.clone().unwrap_or_default();
            let used = opened.in_context(Context::new().with_email(&email)).consume(read)?;
            Ok((used, Account { email, new_email: None, ..read.clone() }))
        })
        .await
        .map(drop)
    }
}

// ---- Deciding and storing ------------------------------------------------------------------

impl App {
    async fn decide<T>(
        &self,
        id: &str,
        decide: impl Fn(&Account) -> Result<Decision<T>>,
    ) -> Result<T> {
        self.decide_and_edit(id, |read| Ok((decide(read)?, read.clone()))).await
    }

    /// Reads the record, decides and stores: again, where it was changed in between. What is to be
    /// stored along with the decision is in the record that comes with it.
    async fn decide_and_edit<T>(
        &self,
        id: &str,
        mut decide: impl FnMut(&Account) -> Result<(Decision<T>, Account)>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let read = self.db.find(id).await?.ok_or(Failure::NoSuchUser)?;
            let (decision, edited) = decide(&read)?;
            if let Committed::Stored(outcome) = self.store(&read, decision, &edited).await? {
                return Ok(outcome);
            }
        }
        Err(Failure::Busy)
    }

    async fn store<T>(
        &self,
        read: &Account,
        decision: Decision<T>,
        edited: &Account,
    ) -> sqlx::Result<Committed<T>> {
        let store = async |change| self.db.compare_and_set(read, &change, edited).await;
        decision.commit_async(store).await
    }

    /// The record with a stronger hash of the same password.
    async fn rehashed(&self, read: &Account, password: &str) -> Result<Account> {
        let password_hash = self.hash(password).await?;
        let old = Credential::from_password_hash(&read.password_hash)?;
        let new = Credential::from_password_hash(&password_hash)?;
        let carried = Some(Carried::rehash(read.carried.as_ref(), &old, &new));
        Ok(Account { password_hash, carried, ..read.clone() })
    }

    /// Off the async threads, because argon2 is slow on purpose.
    async fn hash(&self, password: &str) -> Result<String> {
        let (hasher, password) = (self.hasher.clone(), password.to_owned());
        Ok(spawn_blocking(move || hasher.hash(&password)).await??)
    }
}

// ---- What can go wrong ---------------------------------------------------------------------

pub(crate) type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// 401. The client is told no more, the log the reason.
    Refused(Rejection),
    /// 401: deleted while at it.
    NoSuchUser,
    /// 401: the token is not of a session, or of one that is over by now.
    NoSession,
    /// 503, and the client keeps its token: nothing is known of it.
    Store(sqlx::Error),
    /// 503: the record was changed again and again.
    Busy,
    /// 500.
    Fault(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rejection) => write!(f, "refused: {}", rejection.reason()),
            Self::NoSuchUser => f.write_str("there is no such user"),
            Self::NoSession => f.write_str("the token is of no session"),
            Self::Store(error) => write!(f, "store error: {error}"),
            Self::Busy => f.write_str("the record was changed again and again"),
            Self::Fault(error) => write!(f, "fault: {error}"),
        }
    }
}

impl Error for Failure {}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl<E> From<VerifyError<E>> for Failure
where
    E: Into<Self> + Error + Send + Sync + 'static,
{
    fn from(error: VerifyError<E>) -> Self {
        match error {
            VerifyError::Rejected(rejection) => rejection.into(),
            VerifyError::Lookup(error) => error.into(),
            other => Self::Fault(other.into()),
        }
    }
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Rejected(rejection) => rejection.into(),
            other => Self::Fault(other.into()),
        }
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::SessionOver(rejection) => rejection.into(),
            IssueError::NoSession => Self::NoSession,
            other => Self::Fault(other.into()),
        }
    }
}

macro_rules! faults {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Fault(error.into())
            }
        }
    )+};
}

faults!(RecordError, CredentialError, PasswordError, JoinError);
