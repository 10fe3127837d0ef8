//! What hangar itself answers in a sandbox, at `http://hangar.internal`.

use std::{convert::Infallible, error::Error, fmt};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Incoming};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// Any error of a body.
pub(crate) type BodyError = Box<dyn Error + Send + Sync>;
/// Any body.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BodyError>;

/// The service behind `hangar.internal`: an `axum::Router` or any other tower service over hyper's requests. Which sandbox
/// asks follows from which border it was given to, so it needs no credential.
#[derive(Clone)]
pub struct Inner(BoxCloneSyncService<Request<Incoming>, Response<AnyBody>, Infallible>);

impl Inner {
    /// Wraps a service.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let boxed = service.map_response(|response: Response<B>| response.map(any_body));
        Self(BoxCloneSyncService::new(boxed))
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<AnyBody> {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A body as one of many.
pub(crate) fn any_body<B>(body: B) -> AnyBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    body.map_err(Into::into).boxed_unsync()
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner(…)")
    }
}
