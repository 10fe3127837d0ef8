//! Named steps of a build, so that a test can end the process, or fill the disk, at each of them. See [`hangar_sandbox::steps`].

use hangar_sandbox::steps::reached;

/// An enum of steps, and the list of them.
macro_rules! steps {
    ($($name:ident),* $(,)?) => {
        /// A step of a build that has just been done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the steps; the code beside each says the rest")]
        pub enum BuildStep { $($name),* }

        impl BuildStep {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

steps![
    CommitAsked,
    PlaceMade,
    Cloned,
    RecipeRead,
    BasePrepared,
    CloneSealed,
    SandboxMade,
    ClonesPrepared,
    CommitsBrought,
    EnvironmentRead,
    SetupRun,
    ServicesReady,
    WarmRun,
    CheckRun,
    ServicesStopped,
    AllKilled,
    LayerFrozen,
    SandboxEnded,
    LayerSealed,
    LayersSquashed,
    Described,
    CatalogPartWritten,
    CatalogMoved,
    ImageKept,
    EndNoted,
];

impl BuildStep {
    pub(crate) fn done(self) {
        reached(self.name());
    }
}
