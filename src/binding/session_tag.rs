//! The session tag of a user's record.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::{
    binding::{credential::Credential, derivation},
    bytes::frame,
    sessions::SessionTag,
};

/// `SHA-256(frame("relatch/1 sessions", D, u64(version), outer))[..8]`. It contains no key: it says
/// whether the record has changed, and proves nothing.
pub(crate) fn session_tag(
    credential: &Credential,
    version: u64,
    outer: &[(Cow<'_, str>, u64)],
) -> SessionTag {
    let mut hash = <Sha256 as Digest>::new();
    frame::piece(&mut hash, b"relatch/1 sessions");
    frame::piece(&mut hash, credential.as_bytes());
    frame::piece(&mut hash, &version.to_be_bytes());
    derivation::write_outer(&mut hash, outer);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    SessionTag([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::frame::tests::frame;

    #[test]
    fn the_tag_is_the_digest_of_four_pieces() {
        let credential = Credential::from_secrets([b"hash"]).unwrap();
        let digest = credential.as_bytes().to_vec();
        let u64_of = |n: u64| n.to_be_bytes().to_vec();
        let label = b"relatch/1 sessions".to_vec();
        let tag_of = |pieces: &[Vec<u8>]| Sha256::digest(frame(pieces))[..8].to_vec();

        let plain = tag_of(&[label.clone(), digest.clone(), u64_of(0), vec![]]);
        assert_eq!(session_tag(&credential, 0, &[]).0.to_vec(), plain);

        let outer = [("realm".into(), 3), ("tenant:acme".into(), 4)];
        let framed = frame(&[b"realm".to_vec(), u64_of(3), b"tenant:acme".to_vec(), u64_of(4)]);
        let full = tag_of(&[label, digest, u64_of(9), framed]);
        assert_eq!(session_tag(&credential, 9, &outer).0.to_vec(), full);
    }
}
