//! One server that was started or reached, until the turn ends or it does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientCapabilities,
        ClientConfig, ClientRequest, Implementation, JsonObject, ProtocolVersion, RequestId, ServerResult,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, Peer, PeerRequestOptions, RoleClient, RunningService, ServiceError,
        serve_client_with_lifecycle,
    },
    transport::{
        StreamableHttpClientTransport, UnixSocketHttpClient, async_rw::AsyncRwTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio::time::timeout;

use super::{
    MESSAGE_BYTES_MAX, McpHost, McpPlace, McpServer, McpTimes, McpWay,
    carried::Carried,
    catalog::{Catalog, Offered},
    variables,
};
use crate::acp::Command;

/// How much of a server's own words about a fault is shown.
const FAULT_CHARS_MAX: usize = 1_000;
/// Longest answer of a web server that is no message, as far as it is read.
const COMPLAINT_BYTES_MAX: usize = 4 * 1024;

/// A server that is spoken with.
pub(super) struct Connection {
    /// Its tools.
    pub(super) catalog: Catalog,
    peer: Peer<RoleClient>,
    service: Mutex<Option<RunningService<RoleClient, ClientConfig>>>,
    line: Line,
    /// A call that has no answer yet.
    open: Mutex<Option<RequestId>>,
    /// A message could not be sent: the way may lead over the border of a sandbox that is gone.
    broken: AtomicBool,
    times: McpTimes,
}

/// What the messages go over.
enum Line {
    Program(Mutex<Option<Carried>>),
    /// Open as long as the connection is.
    Way {
        _open: McpWay,
    },
}

impl Connection {
    /// Starts or reaches a server and asks for its tools.
    ///
    /// # Errors
    /// Why it cannot be used, for the model.
    pub(super) async fn begin(
        server: &McpServer,
        host: &dyn McpHost,
        env: &[(String, String)],
        times: McpTimes,
    ) -> Result<Self, String> {
        let place = match variables::asks(server) {
            true => variables::filled(server, &host.environment().await?)?,
            false => server.place.clone(),
        };
        if let McpPlace::Program(_) = place {
            // What it writes when it starts would fail before.
            host.writable().await?;
        }
        // A server that knows no handshake is one of the protocol's newest version, which has none.
        let lifecycles = [
            ClientLifecycleMode::Initialize,
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
        ];
        let mut refused = None;
        for lifecycle in lifecycles {
            match begun(server, host, &place, env, times, lifecycle).await {
                Err(Fault::Refused(words)) => refused = Some(refused.unwrap_or(words)),
                Err(Fault::Gone(words)) => return Err(words),
                Ok(connection) => return Ok(connection),
            }
        }
        Err(refused.unwrap_or_default())
    }

    /// Whether nothing can be asked of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.broken.load(Ordering::Acquire) || self.peer.is_transport_closed() || self.line.fault().is_some()
    }

    /// How it ended.
    pub(super) fn fault(&self) -> String {
        self.line.fault().unwrap_or_else(|| "it closed the connection".to_owned())
    }

    /// Calls a tool. Dropping the future leaves the call open, and the server is told so when the connection ends.
    ///
    /// # Errors
    /// Why there is no result, for the model.
    pub(super) async fn call(&self, tool: &Offered, arguments: JsonObject) -> Result<CallToolResult, String> {
        let params = CallToolRequestParams::new(tool.own.clone()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        // When its time is over, the server is told that nobody waits.
        let options = PeerRequestOptions::with_timeout(self.times.call_max);
        let asked = self.peer.send_cancellable_request(request, options).await.map_err(|error| self.words(&error))?;
        *lock(&self.open) = Some(asked.id.clone());
        let answered = asked.await_response().await;
        *lock(&self.open) = None;
        match answered.map_err(|error| self.words(&error))? {
            ServerResult::CallToolResult(result) => Ok(result),
            // A result in which everything is left out.
            ServerResult::EmptyResult(_) => Ok(CallToolResult::default()),
            ServerResult::InputRequiredResult(_) => {
                Err("it asks for something in the middle of the call, which hangar does not answer".to_owned())
            }
            ServerResult::CreateTaskResult(_) => {
                Err("it made a task of the call, which hangar does not follow".to_owned())
            }
            _ => Err("it gave an answer that is no result of a call".to_owned()),
        }
    }

    /// Ends it with everything that it started.
    pub(super) async fn end(&self) {
        let open = lock(&self.open).take();
        if let Some(id) = open {
            let told = CancelledNotificationParam::new(Some(id), Some("the turn is over".to_owned()));
            // A server that does not listen is ended all the same.
            drop(timeout(self.times.farewell_max, self.peer.notify_cancelled(told)).await);
        }
        let service = lock(&self.service).take();
        if let Some(mut service) = service {
            drop(service.close_with_timeout(self.times.farewell_max).await);
        }
        if let Line::Program(program) = &self.line {
            let program = lock(program).take();
            if let Some(program) = program {
                program.end(self.times.farewell_max).await;
            }
        }
    }

    /// What went wrong with a request.
    fn words(&self, error: &ServiceError) -> String {
        match error {
            ServiceError::McpError(error) => clipped(&error.message),
            ServiceError::Timeout { timeout } => {
                format!("it did not answer within {} s, and was told that nobody waits any more", timeout.as_secs_f32())
            }
            ServiceError::TransportClosed | ServiceError::Cancelled { .. } => self.fault(),
            ServiceError::TransportSend(error) => {
                self.broken.store(true, Ordering::Release);
                self.line.fault().unwrap_or_else(|| clipped(&error.to_string()))
            }
            other => clipped(&other.to_string()),
        }
    }
}

/// Why a server could not be begun with.
enum Fault {
    /// It answered, and refused this way of beginning.
    Refused(String),
    Gone(String),
}

async fn begun(
    server: &McpServer,
    host: &dyn McpHost,
    place: &McpPlace,
    env: &[(String, String)],
    times: McpTimes,
    lifecycle: ClientLifecycleMode,
) -> Result<Connection, Fault> {
    let own =
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("hangar", env!("CARGO_PKG_VERSION")))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE);
    let late = |_| format!("it was not ready within {} s", times.start_max.as_secs_f32());
    match place {
        McpPlace::Program(Command { argv, env: own_env }) => {
            let env: BTreeMap<String, String> = env.iter().cloned().chain(own_env.clone()).collect();
            let program = host.start(Command { argv: argv.clone(), env }).await.map_err(Fault::Gone)?;
            let (carried, stream) = Carried::carry(program);
            let (read, write) = tokio::io::split(stream);
            let line = AsyncRwTransport::new(read, write).with_max_line_length(MESSAGE_BYTES_MAX);
            let made = timeout(times.start_max, ready(server, serve_client_with_lifecycle(own, line, lifecycle))).await;
            let fault = match made.map_err(late) {
                Ok(Ok((service, catalog))) => {
                    return Ok(connection(service, catalog, Line::Program(Mutex::new(Some(carried))), times));
                }
                Ok(Err(fault)) => fault.or(carried.fault()),
                Err(late) => Fault::Gone(carried.fault().unwrap_or(late)),
            };
            carried.end(times.farewell_max).await;
            Err(fault)
        }
        McpPlace::Address { url, headers } => {
            let way = host.reach(url).await.map_err(Fault::Gone)?;
            let mut config = StreamableHttpClientTransportConfig::with_uri(url.clone());
            config.custom_headers = headers_of(headers).map_err(Fault::Gone)?;
            config.max_sse_event_size = MESSAGE_BYTES_MAX;
            config.max_json_response_size = MESSAGE_BYTES_MAX;
            config.max_error_response_size = COMPLAINT_BYTES_MAX;
            let client = UnixSocketHttpClient::new(&way.socket, url);
            let line = StreamableHttpClientTransport::with_client(client, config);
            let made = timeout(times.start_max, ready(server, serve_client_with_lifecycle(own, line, lifecycle))).await;
            match made.map_err(late) {
                Ok(Ok((service, catalog))) => Ok(connection(service, catalog, Line::Way { _open: way }, times)),
                Ok(Err(fault)) => Err(fault),
                Err(late) => Err(Fault::Gone(late)),
            }
        }
    }
}

type Service = RunningService<RoleClient, ClientConfig>;

/// Begins with a server, and asks for its tools.
async fn ready(
    server: &McpServer,
    begin: impl Future<Output = Result<Service, ClientInitializeError>>,
) -> Result<(Service, Catalog), Fault> {
    let service = begin.await.map_err(|error| match &error {
        ClientInitializeError::JsonRpcError(error) => {
            Fault::Refused(format!("it refused to begin: {}", clipped(&error.message)))
        }
        _ => Fault::Gone(clipped(&error.to_string())),
    })?;
    let listed = Catalog::read(&server.name, service.peer()).await;
    let catalog =
        listed.map_err(|error| Fault::Gone(format!("it does not list its tools: {}", clipped(&error.to_string()))))?;
    Ok((service, catalog))
}

fn connection(service: Service, catalog: Catalog, line: Line, times: McpTimes) -> Connection {
    let peer = service.peer().clone();
    Connection {
        catalog,
        peer,
        service: Mutex::new(Some(service)),
        line,
        open: Mutex::new(None),
        broken: AtomicBool::new(false),
        times,
    }
}

fn headers_of(
    headers: &BTreeMap<String, String>,
) -> Result<HashMap<axum::http::HeaderName, axum::http::HeaderValue>, String> {
    let one = |(name, value): (&String, &String)| {
        let parsed = name.parse().ok().zip(value.parse().ok());
        // The value may be a credential's placeholder: it is not shown.
        parsed.ok_or_else(|| format!("its header {name:?} cannot be sent"))
    };
    headers.iter().map(one).collect()
}

impl Line {
    fn fault(&self) -> Option<String> {
        match self {
            Self::Program(program) => lock(program).as_ref().and_then(Carried::fault),
            Self::Way { .. } => None,
        }
    }
}

impl Fault {
    /// The cause, where more is known of it.
    fn or(self, cause: Option<String>) -> Self {
        cause.map_or(self, Self::Gone)
    }
}

fn clipped(words: &str) -> String {
    hangar_protocol::limits::clip(words.trim(), FAULT_CHARS_MAX)
}

/// A lock that is never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared between calls of one turn.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Arc<Connection>>();
};
