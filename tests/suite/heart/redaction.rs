//! No `Debug` or `Display` of any public type contains a secret, a hash or the text of a token.

use std::{fmt::Debug, fs, path::Path};

use relatch::{
    Access, Authority, Binding, Context, KeyRing, MasterKey, NoClaims, Reason, RefreshToken, Token,
    Verified,
    authority::{Adoption, Stage},
    sessions::{SessionData, SessionTable},
    user::{Carried, Credential, Epoch, KeyCache},
};
use zeroize::Zeroizing;

use crate::common::{Account, MagicLink, Role, TestClock, builder, key, role, verify};

const PASSWORD_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$SECRETsalt$SECREThash";
const SECRET: [u8; 32] = *b"SECRET-SECRET-SECRET-SECRET-SECR";

/// The secrets of one application, in every form in which they might be printed.
struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    fn add(&mut self, text: &str) {
        self.0.push(Zeroizing::new(text.to_owned()));
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        self.add(&URL_SAFE_NO_PAD.encode(bytes));
        self.add(&bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
        self.add(format!("{bytes:?}").trim_matches(['[', ']']));
        self.add(&format!("{bytes:#?}").lines().skip(1).collect::<Vec<_>>().join("\n"));
    }

    fn are_absent_from(&self, what: &str, text: &str) {
        assert!(!text.contains("SECRET"), "{what}: {text}");
        for secret in &self.0 {
            let start: String = secret.chars().take(24).collect();
            assert!(!text.contains(&start), "{what}: {text}");
        }
    }
}

#[test]
fn nothing_secret_is_printed_by_any_public_type() {
    let clock = TestClock::new();
    let keys = KeyCache::default();
    let user = Account {
        password_hash: PASSWORD_HASH.into(),
        keys: Some(keys.clone()),
        ..crate::common::account("alice")
    };
    let master = MasterKey::from_bytes("k1", &SECRET).unwrap();
    let credential = Credential::from_password_hash(PASSWORD_HASH).unwrap();
    let carried = Carried::rehash(None, &credential, &credential);
    let context = Context::new().with("fingerprint", "SECRET fingerprint");
    let adoption = Adoption::hs256(b"SECRET legacy", 0, clock.at(60));
    let adopting = builder(&clock).adopt(adoption.clone());
    let authority = builder(&clock).build().unwrap().with_keys(master.clone()).unwrap();
    let claims = role("SECRET claim");
    let issue = authority.issue::<Access<Role>>(&user, &claims).context(context.clone());
    let mut printed = vec![("Issuance", format!("{issue:?}"))];
    let token = issue.sign().unwrap().in_context(context.clone());
    let opened = authority.open(&token).unwrap();
    printed.push(("Opened", format!("{opened:?}")));
    let session: Verified<Account, Role> = opened.verify(Some(user.clone())).unwrap();
    let other = Account { version: 9, ..user.clone() };
    let error = verify(&authority, &token, &other).unwrap_err();

    let started = authority.issue::<Access<Role>>(&user, &claims).start_session("phone").unwrap();
    printed.push(("Decision", format!("{started:?}")));
    printed.push(("Change", format!("{:?}", started.change())));
    let mut with_session = user.clone();
    let tokens = with_session.commit(started);
    let refresh_text = tokens.refresh().expose().to_owned();
    let open_refresh = || authority.open_refresh(RefreshToken::new(&*refresh_text)).unwrap();
    let refreshed = open_refresh().refresh(&with_session).unwrap();
    let refreshed = with_session.commit(refreshed);
    let link = authority.issue::<MagicLink>(&user, &NoClaims {}).sign().unwrap();
    let peeked = crate::common::peek(&authority, &link, &user).unwrap();
    let link_text = link.expose().to_owned();
    let opened_once = authority.open_once(link).unwrap();
    let used = user.clone().commit(opened_once.consume(&user).unwrap());

    let mut secrets = Secrets(Vec::new());
    for text in [&refresh_text, &link_text, tokens.access().expose()] {
        secrets.add(text);
        text.split('.').skip(1).for_each(|part| secrets.add(part));
    }
    secrets.add(PASSWORD_HASH);
    secrets.add(token.expose());
    token.expose().split('.').skip(1).for_each(|part| secrets.add(part));
    secrets.add_bytes(&SECRET);
    secrets.add_bytes(&*authority.danger_expose_key::<Access<Role>>(&user, &context).unwrap());
    secrets.add(&carried.expose_text());
    {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let digests = URL_SAFE_NO_PAD.decode(carried.expose_text().as_bytes()).unwrap();
        digests.chunks(32).for_each(|digest| secrets.add_bytes(digest));
    }
    secrets.add(&master.expose_base64());

    let fingerprint = relatch::Fingerprint::generate().unwrap();
    secrets.add(&fingerprint.expose());

    let mut print = |name, value: &dyn Debug| {
        printed.push((name, format!("{value:?}")));
        printed.push((name, format!("{value:#?}")));
    };
    print("MasterKey", &master);
    print("KeyRing", &KeyRing::new(master.clone()).rotate(key("k2", 2), clock.at(9)).unwrap());
    print("KeyError", &KeyRing::new(master.clone()).remove("k1").unwrap_err());
    print("KeyError", &MasterKey::from_bytes("k1", &SECRET[..31]).unwrap_err());
    print("KeyError", &MasterKey::from_base64("k1", "SECRET!").unwrap_err());
    print("Credential", &credential);
    print("ParseError", &"SECRET".parse::<Carried>().unwrap_err());
    print("Carried", &carried);
    print("Binding", &Binding::password_hash(PASSWORD_HASH));
    print("Binding", &Binding::credential(&credential));
    print("Binding", &Binding::secrets(["SECRET", ""]));
    print("KeyCache", &keys);
    print("UserKeys", &relatch::User::user_keys(&user));
    print("Context", &context);
    print("Counter", &relatch::user::Counter::INITIAL);
    print("Epoch", &Epoch::new("realm", 1));
    print("RecordError", &relatch::user::RecordError::Epochs);
    print("Adoption", &adoption);
    print("AuthorityBuilder", &adopting);
    print("Authority", &adopting.build().unwrap());
    print("Authority", &authority);
    print("BindingMode", &relatch::BindingMode::Key);
    print("ConfigError", &Authority::new(master.clone(), "", "").unwrap_err());
    print("IssueError", &authority.issue_for_user(&crate::common::account("")).unwrap_err());
    print("ClaimsError", &relatch::token::ClaimsError::NotAnObject);
    print("Token", &token);
    print("TokenOptions", &relatch::token::TokenOptions::new());
    print("Access", &None::<Access>);
    print("NoClaims", &relatch::NoClaims {});
    print("Verified", &session);
    print("RegisteredClaims", session.registered());
    print("VerifyError", &error);
    print("Rejection", &authority.open(&Token::<Access>::new("SECRET")).unwrap_err());
    print("Reason", &Reason::Forged);
    print("Stage", &Stage::Guard);
    print("SessionTokens", &tokens);
    print("SessionInfo", tokens.session());
    print("SessionId", &tokens.session().id());
    print("ParseError", &"SECRET".parse::<relatch::sessions::SessionId>().unwrap_err());
    print("SessionTable", &with_session.sessions);
    print("ParseError", &SessionTable::from_column(Some("SECRET")).unwrap_err());
    let data: SessionData = r#"{"secret":"SECRET"}"#.parse().unwrap();
    print("SessionData", &data);
    print("DataError", &"SECRET".parse::<SessionData>().unwrap_err());
    print("NewSession", &relatch::sessions::NewSession::new("phone").data(data));
    print("SessionPolicy", &relatch::SessionPolicy::new());
    print("ClientPolicy", &relatch::sessions::ClientPolicy::new());
    print("CredentialError", &relatch::user::CredentialError::Empty);
    print("WhenFull", &relatch::sessions::WhenFull::Refuse);
    print("OnReuse", &relatch::sessions::OnReuse::EndSession);
    print("Refreshed", &refreshed);
    print(
        "Refreshed",
        &with_session.clone().commit(open_refresh().refresh(&with_session).unwrap()),
    );
    clock.set(60);
    let reused = open_refresh().refresh(&with_session).unwrap();
    print("Refreshed", &with_session.clone().commit(reused));
    print("RefreshError", &open_refresh().refresh(&other).unwrap_err());
    let reused = with_session.clone().commit(open_refresh().refresh(&with_session).unwrap());
    print("SessionEvent", &reused.event().unwrap());
    print("EventKind", &relatch::sessions::EventKind::Reuse);
    print("Refresh", &None::<relatch::token::Refresh>);
    print("Usage", &relatch::token::Usage::Many);
    print("OpenedOnce", &opened_once);
    print("OpenedOnce", &open_refresh());
    print("Peeked", &peeked);
    print("Used", &used);
    print("PasswordReset", &None::<relatch::one_time::PasswordReset>);
    print("EmailConfirmation", &None::<relatch::one_time::EmailConfirmation>);
    print("MagicLink", &None::<relatch::one_time::MagicLink>);
    print("Invitation", &None::<relatch::one_time::Invitation>);
    print("SecondStep", &None::<relatch::one_time::SecondStep>);
    let codes = relatch::recovery_codes::RecoveryCodes::generate().unwrap();
    print("RecoveryCodes", &codes);
    codes.expose().for_each(|code| secrets.add(code));
    print("NotMe", &None::<relatch::one_time::NotMe>);
    let reported = relatch::one_time::ReportedSession::new("0.1".parse().unwrap());
    print("ReportedSession", &reported);
    print("Fingerprint", &fingerprint);
    print("ParseError", &"SECRET".parse::<relatch::Fingerprint>().unwrap_err());
    print("Committed", &relatch::authority::Committed::<()>::RecordChanged);
    print("SystemClock", &relatch::authority::SystemClock);
    print("SystemEntropy", &relatch::authority::SystemEntropy);
    print("EntropyError", &relatch::authority::EntropyError::new());
    #[cfg(feature = "password")]
    {
        use relatch::password::PasswordHasher;
        let hasher = PasswordHasher::new();
        print("PasswordHasher", &hasher);
        print("PasswordError", &hasher.verify("SECRET", Some("SECRET")).unwrap_err());
        let stored = hasher.hash("SECRET").unwrap();
        print("PasswordMatch", &hasher.verify("SECRET", Some(&stored)).unwrap());
        let policy = relatch::password::PasswordPolicy::new();
        print("PasswordPolicy", &policy);
        print("PasswordRefusal", &policy.check("SECRET").unwrap_err());
    }
    #[cfg(feature = "bcrypt")]
    print("Bcrypt", &relatch::password::Bcrypt::new(4).unwrap());
    #[cfg(feature = "pbkdf2")]
    print("Pbkdf2", &relatch::password::Pbkdf2::sha256(1000).unwrap());
    #[cfg(feature = "scrypt")]
    print("Scrypt", &relatch::password::Scrypt::new(10, 8, 1).unwrap());
    #[cfg(feature = "asymmetric")]
    {
        use relatch::keys::{Algorithm, SigningKey};
        let signing = SigningKey::generate(Algorithm::EdDSA).unwrap();
        secrets.add_bytes(&signing.expose_pkcs8_der().unwrap()[16..48]);
        print("SigningKey", &signing);
        print("VerifyingKey", signing.verifying_key());
        print("KeyError", &SigningKey::from_pem("SECRET").unwrap_err());
        print("MasterKey", &master.with_signing_key(signing));
    }
    #[cfg(feature = "live")]
    {
        use std::convert::Infallible;

        use relatch::live::{Live, Revocations};
        let (hub, minute) = (Revocations::new(), time::Duration::MINUTE);
        let once = std::sync::Mutex::new(Some(user.clone()));
        let lookup = move |_| std::future::ready(Ok::<_, Infallible>(once.lock().unwrap().take()));
        let other = |_| std::future::ready(Ok::<Option<Account>, Infallible>(None));
        print(
            "ConfigError",
            &Live::new(authority.clone(), hub.clone(), -minute, other).unwrap_err(),
        );
        let live = Live::new(authority.clone(), hub.clone(), minute, lookup).unwrap();
        let token = Token::<Access<Role>>::new(token.expose()).in_context(context.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (_, mut watch) = runtime.block_on(live.watch(token)).unwrap();
        print("Revocations", &hub);
        print("Live", &live);
        print("CurrentAuthority", &relatch::authority::CurrentAuthority::new(authority.clone()));
        print("Watch", &watch);
        hub.publish("alice");
        print("Ended", &runtime.block_on(&mut watch));
        print("Watch", &watch);
    }

    #[cfg(all(feature = "cache", feature = "sqlite", feature = "postgres"))]
    services(authority.clone(), &carried.expose_text(), &mut print);
    #[cfg(feature = "axum")]
    for token in webs(authority.clone(), &mut print) {
        secrets.add(&token);
        token.split('.').skip(1).for_each(|part| secrets.add(part));
    }

    for (name, text) in &printed {
        secrets.are_absent_from(name, text);
    }
    for display in [
        error.to_string(),
        authority.open(&token).map(drop).map_or_else(|e| e.to_string(), |()| String::new()),
    ] {
        secrets.are_absent_from("Display", &display);
    }
    let is_missing = |name: &String| printed.iter().all(|(covered, _)| covered != name);
    let missing: Vec<_> = public_types().into_iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "not in this test: {missing:?}");
}

/// Values of the services' and stores' types, with every secret that they can hold.
#[cfg(all(feature = "cache", feature = "sqlite", feature = "postgres"))]
fn services(authority: Authority, carried: &str, print: &mut dyn FnMut(&'static str, &dyn Debug)) {
    use std::sync::{Arc, Mutex};

    use relatch::{
        service::{CachePolicy, Client, LoginRefusal, Service, ServiceError},
        store::{
            Conformance, Finding, GroupsTable, IdType, Lanes, MemoryStore, MigrationPhase, NewUser,
            PostgresOptions, PostgresStore, Severity, SqliteOptions, SqliteStore, StoreError,
            UserEpoch, UserKey, UserStore, UsersTable, check_conformance,
        },
    };

    print("Client", &Client::new("phone").in_context(Context::new().with("kind", "SECRET")));
    print("LoginRefusal", &LoginRefusal::WrongPassword);
    print("ServiceError", &ServiceError::LoginRefused(LoginRefusal::NoPassword));
    print("StoreError", &StoreError::unsupported("what"));
    print("StoreErrorKind", &StoreError::unsupported("what").kind());
    print("Lanes", &Lanes::default());
    print("ParseError", &Lanes::from_column(Some("SECRET")).unwrap_err());
    print("UserKey", &UserKey::Id("alice"));
    print("UserEpoch", &UserEpoch::new("tenant", None, 1));
    print("Conformance", &Conformance::new("alice"));
    print("IdType", &IdType::Text);
    print("GroupsTable", &GroupsTable::named("tenants"));
    let table = UsersTable::ready();
    print("UsersTable", &table);
    let policy = CachePolicy::new(time::Duration::MINUTE, 10).unwrap();
    print("CachePolicy", &policy);
    print("ConfigError", &CachePolicy::new(time::Duration::MINUTE, 0).unwrap_err());

    let store = MemoryStore::new();
    let alice = NewUser::with_password_hash("alice", "SECRET", PASSWORD_HASH);
    print("NewUser", &alice);
    print("NewUser", &NewUser::without_password("bob", "SECRET").unwrap());
    assert!(store.insert(alice, "SECRET"));
    store.edit("alice", |row| row.columns.carried = Some(carried.to_owned()));
    print("MemoryStore", &store);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let heard = Arc::<Mutex<Vec<[String; 2]>>>::default();
    let hear = Arc::clone(&heard);
    let builder = Service::builder(authority.clone(), store.clone()).cache(policy);
    let builder = builder.on_new_device(move |login| {
        let texts = [login.link().expose().to_owned(), format!("{login:?}")];
        hear.lock().unwrap().push(texts);
    });
    print("ServiceBuilder", &builder);
    let service = builder.build();
    print("Service", &service);
    print("Changes", &service.changes());
    let _tokens = runtime.block_on(service.start_session("alice", "phone")).unwrap();
    let [link, new_device] = heard.lock().unwrap().remove(0);
    assert!(link.split('.').skip(1).all(|part| !new_device.contains(part)), "{new_device}");
    print("NewDevice", &format_args!("{new_device}"));
    print("ReportedLogin", &runtime.block_on(service.not_me(Token::new(link))).unwrap());
    let link = Token::<relatch::one_time::PasswordReset>::new("SECRET");
    print("OneTime", &service.one_time(link).set_password("SECRET"));
    let hash = runtime.block_on(service.hash_password("SECRET passphrase")).unwrap();
    assert!(store.insert(NewUser::with_password_hash("carol", "carol", hash), "SECRET"));
    store.edit("carol", |row| row.columns.secret = Some("SECRET of a second factor".into()));
    let login = service.verify_login("carol", "SECRET passphrase", "phone");
    let login = runtime.block_on(login).unwrap();
    print("VerifiedLogin", &login);
    let second = service.second_step(login.pending().unwrap(), "phone");
    print("PendingLogin", &runtime.block_on(second).unwrap());
    let row = runtime.block_on(store.read(UserKey::Id("alice"))).unwrap().unwrap();
    print("Row", &row);
    print("Columns", &row.columns);
    print("StoredUser", &runtime.block_on(service.find(UserKey::Id("alice"))).unwrap());
    print("Update", &seen_update(&runtime));
    let nobody = runtime.block_on(check_conformance(&store, "nobody")).unwrap_err();
    print("Nonconformance", &nobody);

    let lazy = "postgres://nobody:SECRET@localhost:1/none";
    let postgres = PostgresStore::new(sqlx::PgPool::connect_lazy(lazy).unwrap(), table.clone());
    let postgres = postgres.unwrap();
    print("Listener", &postgres.listen_with(|_| ()));
    print("PostgresStore", &postgres);
    print("PostgresOptions", &PostgresOptions::new().listen_url(lazy));
    let unread = PostgresOptions::new().listen_url("postgres://SECRET:SECRET@SECRET:SECRET");
    let pool = postgres.pool().clone();
    print("ConfigError", &unread.over(pool, table.clone()).unwrap_err());
    print("SqliteOptions", &SqliteOptions::new());
    print("Severity", &Severity::Problem);
    print("MigrationPhase", &MigrationPhase::Columns);
    print("Finding", &Finding::problem("accounts", "text").with_sql("SQL"));
    let opened = runtime.block_on(SqliteOptions::new().in_memory(table.clone())).unwrap();
    runtime.block_on(opened.migrate()).unwrap();
    let alice = NewUser::with_password_hash("alice", "SECRET", PASSWORD_HASH);
    assert!(runtime.block_on(opened.insert(alice)).unwrap());
    print("CheckReport", &runtime.block_on(opened.check()).unwrap());
    print("Locked", &runtime.block_on(opened.lock(UserKey::Id("alice"))).unwrap());
    let service = Service::new(authority, opened.clone());
    let alice = UserKey::Id("alice");
    let link = service.issue::<relatch::one_time::PasswordReset>(alice, &NoClaims {}).sign();
    let (_, link) = runtime.block_on(link).unwrap().unwrap();
    let link = service.one_time(link).set_password("SECRET password");
    let begin = opened.pool().begin_with("BEGIN IMMEDIATE");
    let mut transaction = runtime.block_on(begin).unwrap();
    let consumed = opened.consume_in(&mut transaction, link);
    print("Uncommitted", &runtime.block_on(consumed).unwrap());
    let pool = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let sqlite = SqliteStore::new(pool.clone(), table).unwrap();
    print("SqliteStore", &sqlite);
    print("SqlLimits", &sqlite.limits());
    print("ConfigError", &SqliteStore::new(pool, UsersTable::named("")).unwrap_err());
}

/// Values of the web layer's types, with every secret that they can hold; returns the tokens'
/// texts.
#[cfg(feature = "axum")]
fn webs(authority: Authority, print: &mut dyn FnMut(&'static str, &dyn Debug)) -> Vec<String> {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Body, routing::get};
    use http::Request;
    use relatch::{
        axum::{
            Authenticated, ClientAddress, Cookies, Csrf, Fresh, LiveAuthenticated, Misconfigured,
            Recent, Refusal, Web,
        },
        service::{Client, LoginRefusal, Service, ServiceError},
        store::{MemoryStore, NewUser},
        throttle::{Count, DeviceToken, LimitStore, Taken, Throttle},
    };
    use tower_layer::Layer;
    use tower_service::Service as _;

    /// A place that keeps what is counted.
    struct Counted(Arc<Mutex<Vec<Count>>>);

    impl LimitStore for Counted {
        type Error = std::fmt::Error;

        async fn take(&self, counts: &[Count]) -> Result<Taken, Self::Error> {
            self.0.lock().unwrap().extend(counts);
            Ok(Taken::Allowed)
        }
    }

    type Fields = &'static str;
    type Extracted = (
        Authenticated<Fields, Role>,
        Fresh<Fields, Role>,
        Recent<5, Fields, Role>,
        LiveAuthenticated<Fields, Role>,
    );

    const CALLER: &str = "SECRET-SECRET-SECRET-SECRET-SECR";
    let store = MemoryStore::new();
    assert!(store.insert(NewUser::with_password_hash("alice", "SECRET", PASSWORD_HASH), "SECRET"));
    let hash = relatch::password::PasswordHasher::new().hash("SECRET passphrase").unwrap();
    assert!(store.insert(NewUser::with_password_hash("carol", "carol", hash), "SECRET"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let claims = |_: &_, _: Option<&_>| role("SECRET claim");
    let limited = authority.clone();
    let service = Service::builder(authority, store).claims(claims).build();
    let context = |_: &_| Context::new().with("fingerprint", "SECRET fingerprint");
    let builder = Web::builder(service)
        .client_address(ClientAddress::forwarded_for(1))
        .cookies(Cookies::new())
        .context(context)
        .introspection_caller(CALLER, CALLER);
    print("WebBuilder", &builder);
    let web = builder.build().unwrap();
    print("Web", &web);
    print("ClientAddress", &ClientAddress::forwarded_for(1));
    print("Cookies", &Cookies::new());
    let counted = Arc::<Mutex<Vec<Count>>>::default();
    let throttle = Throttle::new().shared(Counted(Arc::clone(&counted)));
    print("Throttle", &throttle);
    let limited = Service::builder(limited, MemoryStore::<()>::new()).throttle(throttle).build();
    runtime.block_on(limited.admit("SECRET", &Client::new("SECRET"))).unwrap();
    let count = counted.lock().unwrap()[0];
    print("Count", &count);
    print("Bucket", &count.bucket);
    print("Limit", &count.limit);
    print("Taken", &Taken::Allowed);
    print("DeviceToken", &DeviceToken::new("SECRET"));
    let client = Client::new("phone").device(DeviceToken::new("SECRET"));
    print("Client", &client);
    print("Csrf", &None::<Csrf>);
    print("Misconfigured", &Misconfigured::NoLayer);
    let refused = ServiceError::WrongPassword(LoginRefusal::WrongPassword);
    print("Refusal", &Refusal::from(refused));
    print("LoggedOut", &web.forget());

    let request = Request::post("/").header("sec-fetch-site", "same-origin");
    let request = request.header("x-forwarded-for", "192.0.2.1").body(Body::empty());
    let (parts, _) = request.unwrap().into_parts();
    let grant = runtime.block_on(web.start_session(&parts, "alice")).unwrap();
    print("Grant", &grant);
    let login = web.verify_login(&parts, "carol", "SECRET passphrase");
    let pending = web.pending(&runtime.block_on(login).unwrap()).unwrap();
    print("PendingStep", &pending);
    let tokens = [
        grant.tokens().access().expose(),
        grant.tokens().refresh().expose(),
        pending.token().expose(),
    ];
    let taken = Arc::<Mutex<Option<Extracted>>>::default();
    let keep = Arc::clone(&taken);
    let handler = async move |one: Authenticated<Fields, Role>,
                              two: Fresh<Fields, Role>,
                              three: Recent<5, Fields, Role>,
                              four: LiveAuthenticated<Fields, Role>| {
        keep.lock().unwrap().replace((one, two, three, four));
    };
    let mut app = Router::new().route("/", get(handler)).layer(web.layer());
    let request = Request::get("/").header("authorization", format!("Bearer {}", tokens[0]));
    let answer = runtime.block_on(app.call(request.body(Body::empty()).unwrap())).unwrap();
    assert_eq!(answer.status(), 200);
    let (one, two, three, four) = taken.lock().unwrap().take().unwrap();
    print("Authenticated", &one);
    print("Fresh", &two);
    print("Recent", &three);
    print("LiveAuthenticated", &four);
    print("WebLayer", &web.layer());
    print("WebService", &web.layer().layer(()));
    print("RequireLoginLayer", &web.require_login());
    print("RequireLogin", &web.require_login().layer(()));
    tokens.map(str::to_owned).into()
}

/// What a store receives for a user with a password.
#[cfg(all(feature = "cache", feature = "sqlite", feature = "postgres"))]
fn seen_update(runtime: &tokio::runtime::Runtime) -> relatch::store::Update {
    use std::sync::{Arc, Mutex};

    use relatch::store::{MemoryStore, NewUser, Row, StoreError, Update, UserKey, UserStore};

    struct Seen(MemoryStore, Arc<Mutex<Option<Update>>>);

    impl UserStore for Seen {
        type Fields = ();
        async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
            self.0.read(key).await
        }
        async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
            self.1.lock().unwrap().replace(update.clone());
            self.0.compare_and_set(update).await
        }
        async fn delete(&self, id: &str) -> Result<bool, StoreError> {
            self.0.delete(id).await
        }
    }

    let (store, seen) = (MemoryStore::new(), Arc::default());
    store.insert(NewUser::with_password_hash("alice", "alice", PASSWORD_HASH), ());
    let bumped = Seen(store, Arc::clone(&seen));
    assert!(runtime.block_on(bumped.bump_version("alice", 0)).unwrap().is_some());
    seen.lock().unwrap().take().unwrap()
}

/// A variable that is not Unicode may hold a raw key, which the standard library's error would print.
/// The test runs itself again with such a variable, because a process cannot safely set its own.
#[cfg(unix)]
#[test]
fn the_value_of_a_variable_is_not_printed() {
    use std::{env, error::Error, ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

    const VARIABLE: &str = "RELATCH_TEST_RAW_KEY";
    if env::var_os(VARIABLE).is_some() {
        let error = MasterKey::from_env("k", VARIABLE).unwrap_err();
        let mut next: Option<&dyn Error> = Some(&error);
        while let Some(error) = next {
            assert!(!format!("{error} {error:?}").contains("SECRET"), "the value is printed");
            next = error.source();
        }
        println!("checked {VARIABLE}");
        return;
    }
    let test = "heart::redaction::the_value_of_a_variable_is_not_printed";
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(VARIABLE, OsStr::from_bytes(b"SECRET\xff"));
    let output = again.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("checked"), "{printed}");
}

/// The names of all public types, read from the source.
fn public_types() -> Vec<String> {
    fn visit(folder: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let services = cfg!(all(feature = "cache", feature = "sqlite", feature = "postgres"));
            let skip = [
                ("password", cfg!(feature = "password")),
                ("bcrypt.rs", cfg!(feature = "bcrypt")),
                ("pbkdf2.rs", cfg!(feature = "pbkdf2")),
                ("scrypt.rs", cfg!(feature = "scrypt")),
                ("signing_key.rs", cfg!(feature = "asymmetric")),
                ("verifying_key.rs", cfg!(feature = "asymmetric")),
                ("live", cfg!(feature = "live")),
                ("axum", cfg!(feature = "axum")),
                ("service", services),
                ("store", services),
            ];
            if skip.iter().any(|(module, is_on)| !is_on && path.ends_with(module)) {
                continue;
            }
            if path.is_dir() {
                visit(&path, names);
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let declared =
                    ["pub struct ", "pub enum "].iter().find_map(|d| line.strip_prefix(d));
                let name = declared.map(|rest| {
                    rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
                });
                names.extend(name.map(str::to_owned));
            }
        }
    }
    let mut names = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 30, "{names:?}");
    names
}
