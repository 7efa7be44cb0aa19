//! The fast reader, for payloads in exactly the form that relatch writes. The general reader reads
//! all others; both give the same result for the canonical form.

use crate::{
    bytes::{scan::Scan, span::Span},
    clock::MAX_NUMERIC_DATE,
    counter::MAX_COUNT,
    token::claims::{names::is_taken, registered::Audience, spans::ClaimSpans},
};

/// Reads a canonical payload. `None` means that the general reader must decide; the payload is then
/// unchanged. Otherwise the comma before the private claims is replaced by the opening brace of an
/// object that contains only them.
pub(crate) fn read(json: &mut [u8]) -> Option<ClaimSpans> {
    let mut scan = Scan::new(json)?;
    let mut claims = registered(&mut scan)?;
    let end = scan.at;
    if scan.skip(b"}").is_none() {
        scan.members(b",", is_taken, Scan::value)?;
        claims.own = Span::new(end, scan.at);
    }
    if !scan.is_at_end() {
        return None;
    }
    if claims.own != Span::EMPTY {
        json[end] = b'{';
    }
    Some(claims)
}

fn registered(scan: &mut Scan<'_>) -> Option<ClaimSpans> {
    let issuer = scan.text(br#"{"iss":""#)?;
    let subject = scan.text(br#","sub":""#)?;
    let audience = Audience::One(scan.text(br#","aud":""#)?);
    let exp = scan.number(br#","exp":"#, MAX_NUMERIC_DATE)?;
    let iat = scan.number(br#","iat":"#, MAX_NUMERIC_DATE)?;
    let jti = scan.text(br#","jti":""#)?;
    let ver = scan.number(br#","ver":"#, MAX_COUNT)?;
    let mut claims = ClaimSpans {
        issuer,
        subject,
        audience,
        exp,
        iat,
        jti,
        ver,
        session: None,
        seq: None,
        lane: None,
        own: Span::EMPTY,
    };
    if scan.skip(br#","epochs":"#).is_some() {
        scan.members(b"{", is_taken, |scan| scan.number(b"", MAX_COUNT).map(drop))?;
    }
    if scan.skip(br#","sid":"#).is_some() {
        let id = scan.text(b"\"")?;
        claims.session = Some(str::from_utf8(scan.bytes(id)).ok()?.parse().ok()?);
    }
    if scan.skip(br#","seq":"#).is_some() {
        claims.seq = Some(scan.number(b"", MAX_COUNT)?);
    }
    if scan.skip(br#","lane":"#).is_some() {
        claims.lane = Some(scan.number(b"", MAX_COUNT)?);
    }
    Some(claims)
}
