//! Shared by the fuzz targets: a user's record, and fixed randomness and keys, so that an input has
//! the same effect in every run.
//!
//! A target asserts the promises of relatch, not only that nothing panics. To run one for a minute:
//!
//! ```sh
//! mkdir -p fuzz/corpus/differential
//! cargo +nightly fuzz run differential fuzz/corpus/differential fuzz/seeds/differential -- \
//!     -max_total_time=60 -dict=fuzz/token.dict
//! ```
//!
//! libFuzzer writes new inputs into the first directory; it only reads the seeds.

pub mod forge;

use relatch::{
    Binding, MasterKey, User,
    authority::{Change, Entropy, EntropyError},
    keys::SigningKey,
    sessions::SessionTable,
    user::{Carried, Counter, Epoch},
};

/// Private claims of any name and value.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// A user's record.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub id: String,
    pub secrets: Vec<Vec<u8>>,
    pub version: i64,
    pub lane: i64,
    pub tenant: Option<(String, i64)>,
    pub carried: Option<Carried>,
    pub disabled: bool,
    pub sessions: SessionTable,
}

impl Account {
    /// A new record, with a secret and this version.
    pub fn new(id: &str, version: i64) -> Self {
        Self { id: id.to_owned(), secrets: vec![b"hash".to_vec()], version, ..Self::default() }
    }

    /// The record after a change. The sessions go through the column's text, which must keep its bound
    /// and read back.
    pub fn after(&self, change: &Change) -> Self {
        let sessions = change.sessions().expect("the record keeps sessions");
        let column = sessions.to_column();
        let bytes = column.as_ref().map_or(0, String::len);
        assert!(bytes <= SessionTable::max_bytes(64, 512), "a table of {bytes} bytes");
        let read = SessionTable::from_column(column.as_deref()).expect("a table is not read back");
        assert_eq!(read, *sessions, "a table is read back as another");
        Self { version: change.version().get(), sessions: read, ..self.clone() }
    }
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::secrets(&self.secrets).version(self.version)
    }
    fn is_active(&self) -> bool {
        !self.disabled
    }
    fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        self.tenant.iter().map(|(name, counter)| Epoch::of(TENANT, name, *counter)).collect()
    }
    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
    fn lane(&self, _: &str) -> Option<Counter> {
        Some(self.lane.into())
    }
}

/// The kind of [`Account::tenant`].
pub const TENANT: &str = "tenant";

/// Fixed bytes, which make a token a function of its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(pub [u8; 16]);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
        Ok(())
    }
}

/// A master key with the Ed25519 key of this secret. Ed25519 signatures are deterministic, unlike
/// those of ES256.
pub fn master_key(kid: &str, bytes: &[u8; 32], ed25519: &[u8; 32]) -> MasterKey {
    // RFC 8410 §10.3: the bytes before the 32 bytes of the key in PKCS #8.
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend(ed25519);
    let signing_key = SigningKey::from_pkcs8_der(&der).unwrap();
    MasterKey::from_bytes(kid, bytes).unwrap().with_signing_key(signing_key)
}
