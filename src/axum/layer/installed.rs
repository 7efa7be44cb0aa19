//! The web in a request, whatever its types.

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

/// What the layer puts into a request, whatever its web's types.
#[derive(Clone)]
pub(crate) struct Installed(pub(crate) Arc<dyn Endpoints>);

/// A web whose types are not known: what its endpoints need, none of which shows them.
pub(crate) trait Endpoints: Any + Send + Sync {
    fn call(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Answer;

    /// The names of its types.
    fn types(&self) -> &'static str;
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Which of them.
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
    Introspect,
    Check,
}

impl Endpoint {
    /// The methods that it takes, as `Allow` lists them; any, if it only looks for a proxy.
    pub(crate) const fn methods(self) -> Option<&'static str> {
        match self {
            Self::Check => None,
            Self::Sessions => Some("GET, HEAD"),
            // Not HEAD: it gives the next refresh token, and no page takes it.
            Self::Resume => Some("GET"),
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

    /// The web that the layer put into a request.
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
