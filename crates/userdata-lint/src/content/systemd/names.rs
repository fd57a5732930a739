//! The names of unit sections and settings, from systemd.unit(5), systemd.service(5),
//! systemd.exec(5), systemd.kill(5), systemd.resource-control(5) and related pages, with deprecated
//! names that systemd still accepts.
//!
//! Complete for systemd 252: `tests/differential/content.rs` compares the lists with the systemd of
//! Debian 12. For later versions, up to 258, they follow the release notes. To add a setting, add
//! its name to its list.

/// How programs are executed, in services, sockets, mounts and swap.
const EXEC: &str = "\
    AmbientCapabilities AppArmorProfile BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps \
    BPFDelegatePrograms BindLogSockets BindPaths BindReadOnlyPaths CPUAffinity CPUSchedulingPolicy \
    CPUSchedulingPriority CPUSchedulingResetOnFork CacheDirectory CacheDirectoryAccounting CacheDirectoryMode \
    CacheDirectoryQuota CapabilityBoundingSet ConfigurationDirectory ConfigurationDirectoryMode CoredumpFilter \
    DelegateNamespaces DynamicUser Environment EnvironmentFile ExecPaths ExecSearchPath ExtensionDirectories \
    ExtensionImagePolicy ExtensionImages Group IOSchedulingClass IOSchedulingPriority IPCNamespacePath IgnoreSIGPIPE \
    ImportCredential InaccessibleDirectories InaccessiblePaths KeyringMode LimitAS LimitCORE LimitCPU LimitDATA \
    LimitFSIZE LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO \
    LimitRTTIME LimitSIGPENDING LimitSTACK LoadCredential LoadCredentialEncrypted LockPersonality LogExtraFields \
    LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectory LogsDirectoryAccounting \
    LogsDirectoryMode LogsDirectoryQuota MemoryDenyWriteExecute MemoryKSM MemoryTHP MountAPIVFS MountFlags \
    MountImagePolicy MountImages NUMAMask NUMAPolicy NetworkNamespacePath Nice NoExecPaths NoNewPrivileges \
    OOMScoreAdjust PAMName PassEnvironment Personality PrivateBPF PrivateDevices PrivateIPC PrivateMounts \
    PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups ProtectHome \
    ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem \
    ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories ReadWritePaths RemoveIPC RestrictAddressFamilies \
    RestrictFileSystems RestrictNamespaces RestrictRealtime RestrictSUIDSGID RootDirectory RootEphemeral RootHash \
    RootHashSignature RootImage RootImageOptions RootImagePolicy RootVerity RuntimeDirectory RuntimeDirectoryMode \
    RuntimeDirectoryPreserve SELinuxContext SecureBits SetCredential SetCredentialEncrypted SetLoginEnvironment \
    SmackProcessLabel StandardError StandardInput StandardInputData StandardInputText StandardOutput StateDirectory \
    StateDirectoryAccounting StateDirectoryMode StateDirectoryQuota SupplementaryGroups SyslogFacility \
    SyslogIdentifier SyslogLevel SyslogLevelPrefix SystemCallArchitectures SystemCallErrorNumber SystemCallFilter \
    SystemCallLog TTYColumns TTYPath TTYReset TTYRows TTYVHangup TTYVTDisallocate TemporaryFileSystem \
    TimeoutCleanSec TimeoutSec TimerSlackNSec UMask UnsetEnvironment User UserNamespacePath UtmpIdentifier UtmpMode \
    WorkingDirectory";

/// How programs are stopped.
const KILL: &str = "\
    FinalKillSignal KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL WatchdogSignal";

/// Resource control.
const CONTROL: &str = "\
    AllowedCPUs AllowedMemoryNodes BPFProgram BlockIOAccounting BlockIODeviceWeight BlockIOReadBandwidth \
    BlockIOWeight BlockIOWriteBandwidth CPUAccounting CPUQuota CPUQuotaPeriodSec CPUShares CPUWeight CoredumpReceive \
    DefaultMemoryLow DefaultMemoryMin Delegate DelegateSubgroup DeviceAllow DevicePolicy DisableControllers \
    IOAccounting IODeviceLatencyTargetSec IODeviceWeight IOReadBandwidthMax IOReadIOPSMax IOWeight \
    IOWriteBandwidthMax IOWriteIOPSMax IPAccounting IPAddressAllow IPAddressDeny IPEgressFilterPath \
    IPIngressFilterPath ManagedOOMMemoryPressure ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit \
    ManagedOOMPreference ManagedOOMSwap MemoryAccounting MemoryHigh MemoryLimit MemoryLow MemoryMax MemoryMin \
    MemoryPressureThresholdSec MemoryPressureWatch MemorySwapMax MemoryZSwapMax MemoryZSwapWriteback NFTSet \
    RestrictNetworkInterfaces Slice SocketBindAllow SocketBindDeny StartupAllowedCPUs StartupAllowedMemoryNodes \
    StartupBlockIOWeight StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryZSwapMax TasksAccounting \
    TasksMax";

const UNIT: &str = "\
    After AllowIsolate AssertACPower AssertArchitecture AssertCPUFeature AssertCPUPressure AssertCPUs \
    AssertCapability AssertControlGroupController AssertCredential AssertDirectoryNotEmpty AssertEnvironment \
    AssertFileIsExecutable AssertFileNotEmpty AssertFirstBoot AssertGroup AssertHost AssertIOPressure \
    AssertKernelCommandLine AssertKernelModuleLoaded AssertKernelVersion AssertMemory AssertMemoryPressure \
    AssertNeedsUpdate AssertOSRelease AssertPathExists AssertPathExistsGlob AssertPathIsDirectory \
    AssertPathIsEncrypted AssertPathIsMountPoint AssertPathIsReadWrite AssertPathIsSymbolicLink AssertSecurity \
    AssertUser AssertVersion AssertVirtualization Before BindTo BindsTo CollectMode ConditionACPower \
    ConditionArchitecture ConditionCPUFeature ConditionCPUPressure ConditionCPUs ConditionCapability \
    ConditionControlGroupController ConditionCredential ConditionDirectoryNotEmpty ConditionEnvironment \
    ConditionFileIsExecutable ConditionFileNotEmpty ConditionFirmware ConditionFirstBoot ConditionGroup \
    ConditionHost ConditionIOPressure ConditionKernelCommandLine ConditionKernelModuleLoaded ConditionKernelVersion \
    ConditionMemory ConditionMemoryPressure ConditionNeedsUpdate ConditionOSRelease ConditionPathExists \
    ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsEncrypted ConditionPathIsMountPoint \
    ConditionPathIsReadWrite ConditionPathIsSymbolicLink ConditionSecurity ConditionUser ConditionVersion \
    ConditionVirtualization Conflicts DefaultDependencies Description Documentation FailureAction \
    FailureActionExitStatus IgnoreOnIsolate JobRunningTimeoutSec JobTimeoutAction JobTimeoutRebootArgument \
    JobTimeoutSec JoinsNamespaceOf OnFailure OnFailureIsolate OnFailureJobMode OnSuccess OnSuccessJobMode PartOf \
    PropagateReloadFrom PropagateReloadTo PropagatesReloadTo PropagatesStopTo RebootArgument RefuseManualStart \
    RefuseManualStop ReloadPropagatedFrom Requires RequiresMountsFor RequiresOverridable Requisite \
    RequisiteOverridable SourcePath StartLimitAction StartLimitBurst StartLimitInterval StartLimitIntervalSec \
    StopPropagatedFrom StopWhenUnneeded SuccessAction SuccessActionExitStatus SurviveFinalKillSignal Upholds Wants \
    WantsMountsFor";

const SERVICE: &str = "\
    BusName ExecCondition ExecReload ExecReloadPost ExecStart ExecStartPost ExecStartPre ExecStop ExecStopPost \
    ExitType FailureAction FileDescriptorStoreMax FileDescriptorStorePreserve GuessMainPID NonBlocking NotifyAccess \
    OOMPolicy OpenFile PIDFile PermissionsStartOnly RebootArgument RefreshOnReload RemainAfterExit Restart \
    RestartForceExitStatus RestartMaxDelaySec RestartMode RestartPreventExitStatus RestartSec RestartSteps \
    RootDirectoryStartOnly RuntimeMaxSec RuntimeRandomizedExtraSec Sockets StartLimitAction StartLimitBurst \
    StartLimitInterval SuccessExitStatus TimeoutAbortSec TimeoutStartFailureMode TimeoutStartSec \
    TimeoutStopFailureMode TimeoutStopSec Type USBFunctionDescriptors USBFunctionStrings WatchdogSec";

const SOCKET: &str = "\
    Accept AcceptFileDescriptors Backlog BindIPv6Only BindToDevice Broadcast DeferAcceptSec DeferTrigger \
    DeferTriggerMaxSec DirectoryMode ExecStartPost ExecStartPre ExecStopPost ExecStopPre FileDescriptorName \
    FlushPending FreeBind IPTOS IPTTL KeepAlive KeepAliveIntervalSec KeepAliveProbes KeepAliveTimeSec ListenDatagram \
    ListenFIFO ListenMessageQueue ListenNetlink ListenSequentialPacket ListenSpecial ListenStream ListenUSBFunction \
    Mark MaxConnections MaxConnectionsPerSource MessageQueueMaxMessages MessageQueueMessageSize NoDelay \
    PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo PassSecurity PipeSize PollLimitBurst \
    PollLimitIntervalSec Priority ReceiveBuffer RemoveOnStop ReusePort SELinuxContextFromNet SendBuffer Service \
    SmackLabel SmackLabelIPIn SmackLabelIPOut SocketGroup SocketMode SocketProtocol SocketUser Symlinks \
    TCPCongestion Timestamping Transparent TriggerLimitBurst TriggerLimitIntervalSec Writable";

const MOUNT: &str = "\
    DirectoryMode ForceUnmount LazyUnmount Options ReadWriteOnly SloppyOptions Type What Where";

const AUTOMOUNT: &str = "\
    DirectoryMode ExtraOptions TimeoutIdleSec Where";

const SWAP: &str = "\
    Options Priority What";

const TIMER: &str = "\
    AccuracySec DeferReactivation FixedRandomDelay OnActiveSec OnBootSec OnCalendar OnClockChange OnStartupSec \
    OnTimezoneChange OnUnitActiveSec OnUnitInactiveSec Persistent RandomizedDelaySec RemainAfterElapse Unit \
    WakeSystem";

const PATH: &str = "\
    DirectoryMode DirectoryNotEmpty MakeDirectory PathChanged PathExists PathExistsGlob PathModified \
    TriggerLimitBurst TriggerLimitIntervalSec Unit";

const SLICE: &str = "\
    ConcurrencyHardMax ConcurrencySoftMax";

const SCOPE: &str = "\
    OOMPolicy RuntimeMaxSec RuntimeRandomizedExtraSec TimeoutStopSec";

const INSTALL: &str = "\
    Alias Also DefaultInstance RequiredBy UpheldBy WantedBy";

/// The sections and the lists of their settings.
const SECTIONS: &[(&str, &[&str])] = &[
    ("Unit", &[UNIT]),
    ("Install", &[INSTALL]),
    ("Service", &[SERVICE, EXEC, KILL, CONTROL]),
    ("Socket", &[SOCKET, EXEC, KILL, CONTROL]),
    ("Mount", &[MOUNT, EXEC, KILL, CONTROL]),
    ("Swap", &[SWAP, EXEC, KILL, CONTROL]),
    ("Automount", &[AUTOMOUNT]),
    ("Timer", &[TIMER]),
    ("Path", &[PATH]),
    ("Slice", &[SLICE, CONTROL]),
    ("Scope", &[SCOPE, KILL, CONTROL]),
];

/// The kinds of units by suffix, with their section.
const KINDS: &[(&str, Option<&str>)] = &[
    ("service", Some("Service")),
    ("socket", Some("Socket")),
    ("mount", Some("Mount")),
    ("swap", Some("Swap")),
    ("automount", Some("Automount")),
    ("timer", Some("Timer")),
    ("path", Some("Path")),
    ("slice", Some("Slice")),
    ("scope", Some("Scope")),
    ("target", None),
    ("device", None),
];

/// The kind of unit and its section, by suffix.
pub(super) fn kind(ending: &str) -> Option<(&'static str, Option<&'static str>)> {
    KINDS.iter().copied().find(|(name, _)| *name == ending)
}

/// The settings of a section; `None` for an unknown section.
pub(super) fn settings(section: &str) -> Option<impl Iterator<Item = &'static str> + Clone + use<>> {
    let (_, lists) = SECTIONS.iter().find(|(name, _)| *name == section)?;
    Some(lists.iter().flat_map(|list| list.split(' ')))
}

/// The section, among those of a unit, that has a setting.
pub(super) fn home(setting: &str, sections: &[&'static str]) -> Option<&'static str> {
    sections
        .iter()
        .copied()
        .find(|section| settings(section).is_some_and(|mut names| names.any(|name| name == setting)))
}
