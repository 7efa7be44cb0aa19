//! The fast reader, for payloads in exactly the form that relatch writes. The general reader reads
//! all others; both give the same result for the canonical form.

use crate::{
    bytes::{scan::Scan, span::Span},
    clock::MAX_NUMERIC_DATE,
    counter::MAX_COUNT,
    token::claims::{names::is_taken, registered::Audience, spans::ClaimSpans},
};

/// The pinned bytes around the subject, with which an authority's canonical payloads begin.
pub(crate) struct Pinned {
    /// Up to the subject.
    start: Vec<u8>,
    issuer: Span,
    /// From behind the subject to the expiry.
    addressed: Vec<u8>,
    /// Within `addressed`.
    audience: Span,
}

impl Pinned {
    /// `None` if the canonical form has one of the texts with an escape.
    pub(crate) fn new(issuer: &str, audience: &str) -> Option<Self> {
        if !is_plain(issuer) || !is_plain(audience) {
            return None;
        }
        let (iss, aud) = (r#"{"iss":""#, r#"","aud":""#);
        Some(Self {
            start: format!(r#"{iss}{issuer}","sub":""#).into_bytes(),
            issuer: Span::new(iss.len(), iss.len() + issuer.len()),
            addressed: format!(r#"{aud}{audience}","exp":"#).into_bytes(),
            audience: Span::new(aud.len(), aud.len() + audience.len()),
        })
    }
}

impl Pinned {
    /// Up to the subject.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// From behind the subject to the expiry.
    pub(super) fn addressed(&self) -> &[u8] {
        &self.addressed
    }

    pub(super) fn is_for(&self, audience: &[&str]) -> bool {
        matches!(audience, [one] if one.as_bytes() == self.audience.of_bytes(&self.addressed))
    }
}

/// Whether JSON has the text as it is, without an escape.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// Reads a canonical payload. `None` means that the general reader must decide; the payload is then
/// unchanged. Otherwise the comma before the private claims is replaced by the opening brace of an
/// object that contains only them.
///
/// The flag says whether the payload begins with the pinned bytes: then issuer and audience are those.
#[inline]
pub(crate) fn read(json: &mut [u8], pinned: Option<&Pinned>) -> Option<(ClaimSpans, bool)> {
    let mut scan = Scan::new(json)?;
    let names = pinned.and_then(|pinned| pinned_names(&mut scan, pinned));
    let is_pinned = names.is_some();
    if !is_pinned {
        scan.at = 0;
    }
    let (issuer, subject, audience) = names.or_else(|| any_names(&mut scan))?;
    let mut claims = registered(&mut scan, issuer, subject, audience)?;
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
    Some((claims, is_pinned))
}

/// The issuer, the subject and the audience, up to the expiry.
#[inline]
fn pinned_names(scan: &mut Scan<'_>, pinned: &Pinned) -> Option<(Span, Span, Span)> {
    let subject = scan.text(&pinned.start)?;
    // From the quote behind the subject.
    let at = scan.at - 1;
    scan.at = at;
    scan.skip(&pinned.addressed)?;
    Some((pinned.issuer, subject, pinned.audience.moved(at)))
}

fn any_names(scan: &mut Scan<'_>) -> Option<(Span, Span, Span)> {
    let issuer = scan.text(br#"{"iss":""#)?;
    let subject = scan.text(br#","sub":""#)?;
    let audience = scan.text(br#","aud":""#)?;
    scan.skip(br#","exp":"#)?;
    Some((issuer, subject, audience))
}

#[inline]
fn registered(
    scan: &mut Scan<'_>,
    issuer: Span,
    subject: Span,
    audience: Span,
) -> Option<ClaimSpans> {
    let exp = scan.number(b"", MAX_NUMERIC_DATE)?;
    let iat = scan.number(br#","iat":"#, MAX_NUMERIC_DATE)?;
    let jti = scan.text(br#","jti":""#)?;
    let ver = scan.number(br#","ver":"#, MAX_COUNT)?;
    let mut claims = ClaimSpans {
        issuer,
        subject,
        audience: Audience::One(audience),
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
