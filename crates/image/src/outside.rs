//! What a sandbox reaches while an image is built in it. The server implements this over its network; without one, nothing is reached.

use hangar_sandbox::Border;

use crate::image::Target;

/// Serves the borders of the sandboxes in which images are built.
pub trait Outside: Send + Sync + 'static {
    /// Begins to serve. It ends when the result is dropped. No credential of anybody may be used for what is reached this way: whatever an
    /// image's set-up can read becomes part of an image that many people start from.
    fn serve_setup(&self, border: Border, ask: SetupNetwork) -> Serving;
}

/// What an image's set-up may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupNetwork {
    /// Whose image it is.
    pub target: Target,
    /// Names from its recipe, besides those that always may be reached.
    pub allow: Vec<String>,
}

/// Something that is served as long as this lives.
pub struct Serving {
    _guard: Box<dyn Send + Sync>,
}

impl Serving {
    /// Until `guard` is dropped, which ends it.
    pub fn until_dropped(guard: impl Send + Sync + 'static) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

/// Nothing outside can be reached: connections are refused at once. For machines without a network, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closed;

impl Outside for Closed {
    fn serve_setup(&self, border: Border, _: SetupNetwork) -> Serving {
        // Without listeners every port refuses. The namespace itself lives as long as its processes.
        drop(border);
        Serving::until_dropped(())
    }
}
