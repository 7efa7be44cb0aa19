//! Where a login may lead on to.

/// A path of the site's own to lead on to, as out of a query's `next`; `None` for whatever leads to
/// another host, or may be taken for it (OWASP: Unvalidated Redirects and Forwards). Browsers read
/// `//` and `/\` as another host's, and leave out tabs and line breaks before they look.
///
/// # Example
///
/// ```
/// use relatch::axum::local_path;
///
/// assert_eq!(local_path("/devices?page=2"), Some("/devices?page=2"));
/// assert_eq!(local_path("//evil.example"), None);
/// ```
#[must_use]
pub fn local_path(path: &str) -> Option<&str> {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (path.starts_with('/') && !path.starts_with("//") && is_plain).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_to_another_host() {
        for good in ["/", "/a/b", "/a?b=/c#d", "/a//b", "/%2f%2fevil.example"] {
            assert_eq!(local_path(good), Some(good));
        }
        for bad in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            " /a",
            "/a b",
            "/ä",
            "/a\r\nb",
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }
}
