//! Validation of the path to redirect to after a login.

/// Returns the path if it is one of this site, and so safe to redirect to: for example the `next`
/// of a query. Returns `None` for everything that a browser may resolve to another host (OWASP:
/// Unvalidated Redirects and Forwards). Browsers resolve `//` and `/\` to another host, and remove
/// tabs and line breaks before they parse.
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
