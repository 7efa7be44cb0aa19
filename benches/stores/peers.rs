//! The peers: a plain token with a denylist, and opaque sessions. Nothing is revoked.

use base64_simd::URL_SAFE_NO_PAD;
use redis::aio::MultiplexedConnection;
use relatch_benches::{Claims, Pool, user_id};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row, postgres::PgPoolOptions};

use crate::{
    Servers,
    plain::{Plain, PlainJwt, jti},
    users::{USERS, warm},
};

/// The tokens on each denylist.
const REVOKED: usize = 1_000_000;

/// The sessions of each user.
const SESSIONS: usize = 3;

pub(crate) struct Peers {
    plain: PlainJwt,
    tokens: Pool<String>,
    postgres: PgPool,
    redis: MultiplexedConnection,
    sessions: Pool<String>,
}

impl Peers {
    pub(crate) async fn prepare(servers: &Servers) -> Self {
        fill_postgres(&servers.postgres).await;
        let client = redis::Client::open(servers.redis.as_str()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        fill_redis(&mut redis).await;
        let plain = PlainJwt::new();
        Self {
            tokens: Pool::new(warm().map(|user| plain.encode(&Plain::of(user))).collect()),
            plain,
            postgres: pool(&servers.postgres).await,
            redis,
            sessions: Pool::new(warm().map(session_id).collect()),
        }
    }

    /// One key for all, without a denylist.
    pub(crate) fn decode(&self) -> Plain {
        self.plain.decode(self.tokens.turn())
    }

    pub(crate) async fn redis_denylist(&self) -> Plain {
        let claims = self.decode();
        let mut redis = self.redis.clone();
        let mut exists = redis::cmd("EXISTS");
        let answer = exists.arg(redis_key(&claims.jti)).query_async::<bool>(&mut redis).await;
        let is_revoked = answer.unwrap();
        assert!(!is_revoked);
        claims
    }

    pub(crate) async fn postgres_denylist(&self) -> Plain {
        let claims = self.decode();
        let select = sqlx::query("SELECT 1 FROM revoked WHERE jti = $1").bind(&claims.jti);
        let row = select.fetch_optional(&self.postgres).await.unwrap();
        assert!(row.is_none());
        claims
    }

    /// The user's id, and the columns that a request needs. The table has the digest of the session's
    /// id, not the id.
    pub(crate) async fn postgres_sessions(&self) -> (String, Claims) {
        let id = URL_SAFE_NO_PAD.decode_to_vec(self.sessions.turn()).unwrap();
        let digest = Sha256::digest(id);
        let select = "SELECT users.id, users.role, users.tenant FROM sessions \
            JOIN users ON users.id = sessions.user_id \
            WHERE sessions.digest = $1 AND sessions.expires_at > now() AND users.is_active";
        let row = sqlx::query(select).bind(digest.as_slice()).fetch_one(&self.postgres).await;
        let row = row.unwrap();
        let claims = Claims { role: row.get(1), tenant: row.get::<i64, _>(2).unsigned_abs() };
        (row.get(0), claims)
    }
}

/// A pool with the settings of relatch's store: it does not test a connection that was just used.
async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().test_before_acquire(false).connect(url).await.unwrap()
}

/// The id of the user's last session. In practice random; here both sides compute it.
fn session_id(user: usize) -> String {
    let id = Sha256::digest(format!("{}/{SESSIONS}", user_id(user)));
    URL_SAFE_NO_PAD.encode_to_string(id)
}

async fn fill_postgres(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let statements = [
        format!(
            "CREATE TABLE revoked (jti text PRIMARY KEY, expires_at timestamptz NOT NULL);
            INSERT INTO revoked
                SELECT lpad((10000000 + n)::text, 22, '0'), now() + interval '1 day'
                FROM generate_series(0, {REVOKED} - 1) AS n"
        ),
        format!(
            "CREATE TABLE users (id text PRIMARY KEY, login text NOT NULL UNIQUE,
                password_hash text, role text NOT NULL, tenant bigint NOT NULL,
                is_active boolean NOT NULL DEFAULT true);
            INSERT INTO users
                SELECT lpad(to_hex(n), 8, '0') || '-7f3a-4c1e-9b2d-0123456789ab',
                    'user' || n || '@example.com',
                    '$argon2id$v=19$m=19456,t=2,p=1$' || lpad(n::text, 22, '0') ||
                    '$Wmc6Nq0mZ4T7nJm8yJ3n1i0mVb6cQ2s7l4yq8h5oXkE',
                    'editor', 1000 + n
                FROM generate_series(0, {USERS} - 1) AS n"
        ),
        format!(
            "CREATE TABLE sessions (digest bytea PRIMARY KEY,
                user_id text NOT NULL REFERENCES users,
                label text NOT NULL, created_at timestamptz NOT NULL,
                expires_at timestamptz NOT NULL);
            INSERT INTO sessions
                SELECT sha256(sha256((id || '/' || n)::bytea)), id, 'Chrome on Windows', now(),
                    now() + interval '1 day'
                FROM users, generate_series(1, {SESSIONS}) AS n;
            CREATE INDEX ON sessions (user_id)"
        ),
    ];
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    for table in ["revoked", "users", "sessions"] {
        let vacuum = AssertSqlSafe(format!("VACUUM ANALYZE {table}"));
        sqlx::raw_sql(vacuum).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn fill_redis(redis: &mut MultiplexedConnection) {
    const AT_ONCE: usize = 10_000;
    for first in (0..REVOKED).step_by(AT_ONCE) {
        let mut pipeline = redis::pipe();
        for token in first..first + AT_ONCE {
            let key = redis_key(&jti(10_000_000 + token));
            pipeline.cmd("SET").arg(key).arg("").arg("EX").arg(86_400).ignore();
        }
        pipeline.query_async::<()>(redis).await.unwrap();
    }
}

fn redis_key(jti: &str) -> String {
    format!("revoked:{jti}")
}
