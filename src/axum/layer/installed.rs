//! The [`Web`] in a request's extensions, with its types erased.

use std::{
    any::{Any, type_name},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use axum_core::{extract::Request, response::Response};
use http::Extensions;
use serde::{Serialize, de::DeserializeOwned};

use crate::axum::{metrics, misconfigured::Misconfigured, refusal::Refusal, web::Web};

/// A [`Web`] with its types erased, as the layers put it into a request's extensions.
#[derive(Clone)]
pub(crate) struct Installed(pub(crate) Arc<dyn Endpoints>);

/// The part of a [`Web`] that does not depend on its types: the endpoints.
pub(crate) trait Endpoints: Any + Send + Sync {
    /// Runs an endpoint.
    fn call(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Answer;

    /// The names of the erased types, for an error.
    fn types(&self) -> &'static str;
}

/// The boxed future of an endpoint's response.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    Login,
    Refresh,
    Resume,
    LogOut,
    LogOutDevice,
    LogOutOthers,
    LogOutEverywhere,
    ChangePassword,
    Reauthenticate,
    Sessions,
    Revoke,
    NotMe,
    Introspect,
    Check,
}

impl Endpoint {
    /// The accepted methods, as `Allow` lists them. `None` accepts all.
    pub(crate) const fn methods(self) -> Option<&'static str> {
        match self {
            Self::Check => None,
            Self::Sessions => Some("GET, HEAD"),
            // Not HEAD: it exchanges the refresh token, and a client may ignore its response.
            Self::Resume => Some("GET, POST"),
            _ => Some("POST"),
        }
    }
}

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) fn installed(&self) -> Installed {
        Installed(Arc::clone(&self.0) as _)
    }

    /// Returns the web that the layer put into the request. Logs if there is none of these types.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Refusal> {
        let found = match extensions.get::<Installed>() {
            None => Err(Misconfigured::NoLayer.into()),
            Some(installed) => {
                let found = installed.0.types();
                let any: Arc<dyn Any + Send + Sync> = Arc::clone(&installed.0) as _;
                any.downcast().map(Self).map_err(|_| {
                    Misconfigured::OtherTypes { wanted: type_name::<(F, C)>(), found }.into()
                })
            }
        };
        if let Err(Refusal::Misconfigured(what)) = &found {
            metrics::misconfigured(*what);
        }
        found
    }
}
