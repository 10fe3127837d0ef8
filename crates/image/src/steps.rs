//! Named steps of a build, so that a test can end the process, or fill the disk, at each of them. See [`mod@hangar_sandbox::steps`].

hangar_sandbox::steps! {
    /// A step of a build that has just been done.
    pub enum BuildStep {
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
    }
}
