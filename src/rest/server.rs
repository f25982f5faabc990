//! The sockets, and what every request passes on its way to a route: origin, password, time.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, NormalizePath, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{App, Error, HttpResponse, HttpServer, web};
use socket2::SockRef;
use tokio::time::timeout;

use super::errors::{ApiError, STARTING, plain};
use super::listeners::{Admin, Advertised, Listener, Listeners, RestConfig};
use super::{Api, auth, connect, loggers, native, plugins};

/// Largest body; positions of 5,000 partitions take half of it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// TLS handshakes at once.
const HANDSHAKES_MAX: usize = 64;
/// Bound on a TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(3);
/// Bound on a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Bound on a silent connection between two requests.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// Bound on a client that does not take an answer.
const TAKE_PATIENCE: Duration = Duration::from_secs(30);
/// Bound on one answer, the request's body included; as Connect's.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);
/// Bound on ending open requests when the process ends.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What a Connect worker answers at once before it has read its storage topics; log levels too.
const WHILE_STARTING: [&str; 5] = [
    "/health",
    "/metrics",
    "/v1/live",
    "/v1/openapi.json",
    "/v1/ready",
];

/// A listener with its socket.
struct Bound {
    listener: Listener,
    socket: TcpListener,
    at: SocketAddr,
}

impl Bound {
    fn url(&self) -> String {
        format!("{}://{}", self.listener.scheme(), self.at)
    }
}

/// All sockets of REST, before anything is served on them.
pub(super) struct Sockets {
    main: Vec<Bound>,
    admin: Vec<Bound>,
}

impl Sockets {
    /// # Errors
    /// An address cannot be had; the text names it.
    pub(super) fn bind(config: &RestConfig) -> io::Result<Self> {
        let all = |listeners: &Listeners| -> io::Result<Vec<Bound>> {
            listeners.at.iter().map(bind).collect()
        };
        Ok(Self {
            main: all(&config.listeners)?,
            admin: match &config.admin {
                Admin::Apart(listeners) => all(listeners)?,
                Admin::Beside | Admin::Nowhere => Vec::new(),
            },
        })
    }

    /// As Connect's `worker_id`: of the listener that is advertised, by default the first with http.
    pub(super) fn worker_id(&self, advertised: &Advertised) -> String {
        let https = advertised.https.unwrap_or(false);
        let wanted = self.main.iter().find(|one| one.listener.https == https);
        let one = wanted.or(self.main.first());
        let host = advertised.host.clone().or_else(|| one.map(host_of));
        let port = advertised.port.or_else(|| one.map(|one| one.at.port()));
        format!("{}:{}", host.unwrap_or_default(), port.unwrap_or_default())
    }

    /// Where everything but what is apart is served.
    pub(super) fn urls(&self) -> impl Iterator<Item = String> {
        self.main.iter().map(Bound::url)
    }

    /// Where log levels are, if apart.
    pub(super) fn admin_urls(&self) -> impl Iterator<Item = String> {
        self.admin.iter().map(Bound::url)
    }

    /// One server for each kind.
    pub(super) fn serve(
        self,
        config: &RestConfig,
        api: &web::Data<Api>,
    ) -> io::Result<Vec<Server>> {
        let main: fn(&mut ServiceConfig) = match config.admin {
            Admin::Beside => |routes| {
                all_but_loggers(routes);
                loggers::routes(routes);
            },
            Admin::Nowhere | Admin::Apart(_) => all_but_loggers,
        };
        let mut servers = vec![server(self.main, &config.listeners, config, api, main)?];
        if let Admin::Apart(listeners) = &config.admin {
            servers.push(server(self.admin, listeners, config, api, loggers::routes)?);
        }
        Ok(servers)
    }
}

fn all_but_loggers(routes: &mut ServiceConfig) {
    native::routes(routes);
    connect::routes(routes);
    plugins::routes(routes);
}

fn bind(listener: &Listener) -> io::Result<Bound> {
    let port = listener.port;
    let socket = match listener.host.as_str() {
        // IPv6 takes IPv4 as well, where there is IPv6.
        "" => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))),
        host => TcpListener::bind((host, port)),
    };
    let named = |error: io::Error| {
        let Listener { host, .. } = listener;
        io::Error::new(error.kind(), format!("{host}:{port}: {error}"))
    };
    let socket = socket.map_err(named)?;
    // Inherited by every connection. Ends one whose client takes nothing, which actix would wait for without end.
    SockRef::from(&socket).set_tcp_user_timeout(Some(TAKE_PATIENCE))?;
    Ok(Bound {
        at: socket.local_addr()?,
        listener: listener.clone(),
        socket,
    })
}

/// The host that others find it under.
fn host_of(one: &Bound) -> String {
    let ip = one.at.ip();
    if ip.is_unspecified() {
        // As Java, the machine's own name.
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        return if name.is_empty() { "localhost" } else { name }.to_owned();
    }
    match ip {
        _ if !one.listener.host.contains(':') => one.listener.host.clone(),
        ip => format!("[{ip}]"),
    }
}

fn server(
    bound: Vec<Bound>,
    listeners: &Listeners,
    config: &RestConfig,
    api: &web::Data<Api>,
    routes: fn(&mut ServiceConfig),
) -> io::Result<Server> {
    let (api, config) = (api.clone(), web::Data::new(config.clone()));
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .app_data(config.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .wrap(from_fn(when_started))
            .wrap(from_fn(pass))
            .wrap(NormalizePath::trim())
            .configure(routes)
            .default_service(web::to(not_found))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .max_connection_rate(HANDSHAKES_MAX)
    .tls_handshake_timeout(HANDSHAKE_PATIENCE)
    .client_request_timeout(HEAD_PATIENCE)
    .keep_alive(IDLE_PATIENCE)
    .shutdown_timeout(STOP_PATIENCE.as_secs())
    .disable_signals();
    for one in bound {
        server = match &listeners.tls {
            Some(tls) if one.listener.https => {
                server.listen_rustls_0_23(one.socket, tls.config())?
            }
            _ => server.listen(one.socket)?,
        };
    }
    Ok(server.run())
}

async fn not_found() -> Result<String, ApiError> {
    Err(plain(StatusCode::NOT_FOUND))
}

/// Around every route: who may ask, and how long an answer may take.
async fn pass(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(config) = request.app_data::<web::Data<RestConfig>>().cloned() else {
        return Err(ApiError::internal("REST has no configuration").into());
    };
    let asked = request.headers().clone();
    let api = request.app_data::<web::Data<Api>>().cloned();
    let stopped = match stop(&config, &request) {
        Some(answer) => Err(answer),
        None => match timeout(ANSWER_PATIENCE, next.call(request)).await {
            Ok(Ok(answer)) => Ok(answer.map_into_boxed_body()),
            Ok(Err(error)) => Err(error.error_response()),
            Err(_) => {
                let starting = api.and_then(|api| api.starting());
                let message = match starting {
                    Some(why) => format!("Request timed out: {STARTING} {why}"),
                    None => "Request timed out: a cluster does not answer".to_owned(),
                };
                Err(actix_web::ResponseError::error_response(
                    &ApiError::internal(message),
                ))
            }
        },
    };
    match stopped {
        Ok(mut answer) => {
            dress(&config, &asked, answer.headers_mut());
            Ok(answer)
        }
        Err(mut answer) => {
            dress(&config, &asked, answer.headers_mut());
            Err(InternalError::from_response("refused", answer).into())
        }
    }
}

/// Lets requests to a Connect worker that is starting wait, as Connect does, but for those that ask how it is.
async fn when_started(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.path();
    if !WHILE_STARTING.contains(&path) && !path.starts_with("/admin/") {
        api.started().await;
    }
    next.call(request).await
}

/// The answer to what does not get to a route.
fn stop(config: &RestConfig, request: &ServiceRequest) -> Option<HttpResponse> {
    let (method, headers) = (request.method(), request.headers());
    if let Some(cors) = &config.cors
        && let Some(answer) = cors.preflight(method, headers)
    {
        // A browser asks this without a password.
        let mut response = HttpResponse::Ok().finish();
        for (name, value) in answer {
            response.headers_mut().append(name, value);
        }
        return Some(response);
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let allowed = |cors: &super::cors::Cors| cors.allows(method, headers);
    if !reads && headers.contains_key(header::ORIGIN) && !config.cors.as_ref().is_some_and(allowed)
    {
        let message = "requests of web pages may only read, but for what access.control.allow.origin and .methods allow";
        let refused = ApiError::new(StatusCode::FORBIDDEN, message);
        return Some(actix_web::ResponseError::error_response(&refused));
    }
    match &config.auth {
        Some(auth) if !auth.allows(request.path(), headers) => Some(auth::refusal()),
        _ => None,
    }
}

/// Headers that every answer has.
fn dress(config: &RestConfig, asked: &HeaderMap, headers: &mut HeaderMap) {
    if let Some(cors) = &config.cors {
        cors.mark(asked, headers);
    }
    config.headers.apply(headers);
}
