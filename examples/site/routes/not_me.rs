//! "This was not me": the link of a notice of a login on a new device.

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use relatch::{
    NoClaims, Token, axum::Refusal, one_time::NotMe, one_time::PasswordReset, store::UserKey,
};

use super::forgotten::{Link, dead, print_link};
use crate::{Site, Web, pages};

/// Shows a button. It does not use up the link, because mail scanners open links too.
pub(crate) async fn page(
    web: Web,
    Query(Link { token }): Query<Link>,
) -> Result<Response, Refusal> {
    match web.service().peek(&Token::<NotMe>::new(&*token)).await {
        Ok(_) => Ok(pages::not_me(&token).into_response()),
        Err(error) => dead(web.refusal(error)),
    }
}

/// Ends the login, and sends a link to set a new password: somebody else knows the old one.
pub(crate) async fn report(
    web: Web,
    State(site): State<Site>,
    Form(Link { token }): Form<Link>,
) -> Result<Response, Refusal> {
    let reported = match web.service().not_me(Token::new(token)).await {
        Ok(reported) => reported,
        Err(error) => return dead(web.refusal(error)),
    };
    let key = UserKey::Id(reported.user_id());
    let issued = web.service().issue::<PasswordReset>(key, &NoClaims {}).sign().await;
    if let Some((user, link)) = issued.map_err(|error| web.refusal(error))? {
        print_link(&site, &user, &link);
    }
    Ok(pages::reported().into_response())
}
