//! Dispatch of an endpoint to its handler, with the types of the web restored.

use std::{any::type_name, sync::Arc};

use axum_core::{
    extract::Request,
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::axum::{
    layer::installed::{Answer, Endpoint, Endpoints},
    web::{Inner, Web},
};

impl<F, C> Endpoints for Inner<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn call(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Answer {
        Box::pin(Web(self).endpoint(endpoint, request))
    }

    fn types(&self) -> &'static str {
        type_name::<(F, C)>()
    }
}

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn endpoint(self, endpoint: Endpoint, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let answer = match endpoint {
            Endpoint::Login => self.on_login(&parts, body).await,
            Endpoint::Refresh => self.on_refresh(&parts, body).await,
            Endpoint::Resume => self.on_resume(&parts).await,
            Endpoint::LogOut => self.log_out(&parts).await.map(IntoResponse::into_response),
            Endpoint::LogOutDevice => self.on_log_out_device(&parts, body).await,
            Endpoint::LogOutOthers => self.on_log_out_others(&parts, body).await,
            Endpoint::LogOutEverywhere => {
                self.log_out_everywhere(&parts).await.map(IntoResponse::into_response)
            }
            Endpoint::ChangePassword => self.on_change_password(&parts, body).await,
            Endpoint::Reauthenticate => self.on_reauthenticate(&parts, body).await,
            Endpoint::Sessions => self.on_sessions(&parts).await,
            Endpoint::Revoke => self.on_revoke(&parts, body).await,
            Endpoint::NotMe => self.on_not_me(&parts, body).await,
            Endpoint::Introspect => self.on_introspect(&parts, body).await,
            Endpoint::Check => self.on_check(parts).await,
        };
        answer.unwrap_or_else(IntoResponse::into_response)
    }
}
