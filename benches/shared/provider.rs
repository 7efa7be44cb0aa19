//! The provider of `jsonwebtoken`; a process has one.

use jsonwebtoken::crypto::CryptoProvider;

/// Makes `jsonwebtoken` use this provider in the whole process.
pub(crate) fn install(name: &str) {
    let provider: &CryptoProvider = match name {
        "rust_crypto" => &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER,
        "aws_lc_rs" => &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER,
        other => panic!("{other} is no provider: rust_crypto or aws_lc_rs"),
    };
    provider.install_default().expect("nothing has used the provider yet");
}
