//! Credentials that are added on the way.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{SinkExt, StreamExt};
use hangar_network::{DenialReason, HostName, How, Phase, Places};
use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::{
    border::{Border, with_border},
    world::PUBLIC,
};

const SECRET: &str = "s3cret-token-value-0123456789";

fn with_credential<F: Future<Output = ()>>(test: impl FnOnce(Border, String) -> F) {
    with_border(&["api.test", "other.test", "inspect cdn.test"], |border| {
        for name in ["api.test", "other.test", "cdn.test"] {
            border.world.name(name, PUBLIC);
        }
        let placeholder = border.credential("api.test", SECRET).as_str().to_owned();
        test(border, placeholder)
    });
}

#[test]
fn a_placeholder_becomes_the_credential_on_the_way() {
    with_credential(|border, placeholder| async move {
        for version in ["--http1.1", "--http2"] {
            let said =
                border.curl(&format!("{version} -H 'Authorization: Bearer {placeholder}' https://api.test/echo")).await;
            assert!(
                said.contains(&format!("authorization: Bearer {placeholder}")),
                "what comes back is masked: {said}"
            );
            assert!(!said.contains(SECRET), "{said}");
        }
        border.curl(&format!("-H 'X-Api-Key: {placeholder}' https://api.test/echo")).await;
        border.curl(&format!("-u 'me:{placeholder}' https://api.test/echo")).await;
        let seen = border.world.seen.requests();
        let basic = STANDARD.encode(format!("me:{SECRET}"));
        let lines = [
            format!("authorization: Bearer {SECRET}"),
            format!("authorization: Bearer {SECRET}"),
            format!("x-api-key: {SECRET}"),
            format!("authorization: Basic {basic}"),
        ];
        assert_eq!(seen.len(), lines.len());
        for (request, line) in seen.iter().zip(lines) {
            assert!(request.contains(&line), "{request}");
        }
    });
}

#[test]
fn a_header_is_set_without_anything_set_up_inside() {
    with_credential(|border, _| async move {
        border.inject("other.test", "another-s3cret-value", How::bearer());
        let said = border.curl("-H 'Authorization: Bearer mine' https://other.test/echo").await;
        assert!(said.contains("[hidden by hangar]") && !said.contains("another-s3cret"), "{said}");
        let seen = border.world.seen.requests().join("\n");
        assert!(seen.contains("authorization: Bearer another-s3cret-value") && !seen.contains("mine"), "{seen}");
    });
}

#[test]
fn a_placeholder_at_another_host_is_refused_and_told() {
    with_credential(|mut border, placeholder| async move {
        for arguments in [
            format!("-H 'Authorization: Bearer {placeholder}' https://cdn.test/echo"),
            format!("-u 'me:{placeholder}' https://cdn.test/echo"),
            format!("'https://cdn.test/echo?key={placeholder}'"),
            format!("-H 'X-Other: {placeholder}' https://cdn.test/echo"),
        ] {
            let said = border.curl(&arguments).await;
            assert!(said.ends_with("403"), "{arguments}: {said}");
        }
        let told = border.told();
        let reasons: Vec<DenialReason> = told.iter().map(|denial| denial.reason).collect();
        assert!(reasons.contains(&DenialReason::PlaceholderElsewhere), "{reasons:?}");
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn a_host_that_is_passed_through_sees_the_placeholder_alone() {
    with_credential(|border, placeholder| async move {
        border.curl(&format!("-H 'Authorization: Bearer {placeholder}' https://other.test/echo")).await;
        let seen = border.world.seen.requests().join("\n");
        assert!(seen.contains(&placeholder) && !seen.contains(SECRET), "{seen}");
    });
}

#[test]
fn a_placeholder_in_a_wrong_place_is_refused() {
    with_credential(|mut border, placeholder| async move {
        for arguments in [
            format!("-H 'Cookie: a={placeholder}' https://api.test/echo"),
            format!("'https://api.test/echo?key={placeholder}'"),
            format!("'https://api.test/{placeholder}'"),
            format!("-A '{placeholder}' https://api.test/"),
        ] {
            assert!(border.curl(&arguments).await.ends_with("403"), "{arguments}");
        }
        assert_eq!(border.denial().await.reason, DenialReason::PlaceholderPlace);
        assert!(border.world.seen.nothing());
        border.change(|policy| {
            policy.injections[0].how = match policy.injections[0].how.clone() {
                How::Replace { placeholder, .. } => {
                    How::Replace { placeholder, places: Places { query: true, ..Places::headers() } }
                }
                set @ How::Set(_) => set,
            }
        });
        border.curl(&format!("'https://api.test/echo?key={placeholder}'")).await;
        assert!(border.world.seen.requests().join("").contains(&format!("?key={SECRET}")));
    });
}

#[test]
fn a_placeholder_without_tls_is_refused() {
    with_credential(|mut border, placeholder| async move {
        let said = border.curl(&format!("-H 'Authorization: Bearer {placeholder}' http://api.test/echo")).await;
        assert!(said.contains("over https only") && said.ends_with("403"), "{said}");
        assert_eq!(border.denial().await.reason, DenialReason::PlaceholderWithoutTls);
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn a_redirect_is_the_clients_to_follow_and_takes_no_credential_along() {
    with_credential(|border, placeholder| async move {
        let said = border
            .curl(&format!("-D - -H 'Authorization: Bearer {placeholder}' https://api.test/redirect/other.test"))
            .await;
        assert!(said.contains("location: https://other.test/landing") && said.ends_with("307"), "{said}");
        // A client that sends its headers along wherever it is led.
        let follow = format!("--location-trusted -H 'Authorization: Bearer {placeholder}' https://api.test/redirect/");
        border.curl(&format!("{follow}other.test")).await;
        assert!(border.curl(&format!("{follow}cdn.test")).await.ends_with("403"));
        assert!(border.curl(&format!("{follow}denied.test")).await.ends_with("403"));
        let seen = border.world.seen.requests();
        let leaked = |request: &&String| request.contains("/landing") && request.contains(SECRET);
        assert_eq!(seen.iter().filter(leaked).count(), 0, "{seen:?}");
        assert_eq!(seen.iter().filter(|request| request.contains("/landing")).count(), 1, "{seen:?}");
    });
}

#[test]
fn a_credential_that_comes_back_is_masked_however_it_is_cut() {
    with_credential(|border, placeholder| async move {
        for cut in [1, 3, 10, 4096] {
            for version in ["--http1.1", "--http2"] {
                let ask = format!("{version} -H 'Authorization: Bearer {placeholder}' https://api.test/leak/{cut}");
                let said = border.curl(&ask).await;
                assert_eq!(said, format!("before Bearer {placeholder} after\n200"), "{version} {cut}");
            }
            let said = border.curl(&format!("-u 'me:{placeholder}' https://api.test/leak/{cut}")).await;
            let encoded = said.split_whitespace().find(|word| word.len() > 30).unwrap_or_default();
            assert!(!said.contains(&STANDARD.encode(format!("me:{SECRET}"))), "{said}");
            assert!(encoded.contains(&placeholder), "{said}");
        }
        let said =
            border.curl(&format!("-D - -H 'Authorization: Bearer {placeholder}' https://api.test/leak-header")).await;
        assert!(said.contains(&format!("x-echo: Bearer {placeholder}")) && !said.contains(SECRET), "{said}");
        assert!(!said.contains("alt-svc") && said.ends_with("418"), "{said}");
        // Also when this request carried none: the server may remember.
        let said = border.curl(&format!("-H 'X-Said: {SECRET}' https://api.test/echo")).await;
        assert!(!said.contains(SECRET), "{said}");
    });
}

#[test]
fn an_answer_that_cannot_be_searched_is_refused() {
    with_credential(|border, placeholder| async move {
        let ask =
            format!("--compressed -H 'Range: bytes=0-3' -H 'Authorization: Bearer {placeholder}' https://api.test");
        assert!(border.curl(&format!("{ask}/gzip")).await.ends_with("502"));
        border.curl(&format!("{ask}/echo")).await;
        for request in border.world.seen.requests() {
            assert!(request.contains("accept-encoding: identity") && !request.contains("range:"), "{request}");
        }
    });
}

#[test]
fn an_event_does_not_wait_for_the_next_one() {
    with_credential(|border, _| async move {
        // The first event ends with the credential's first letter; the second comes two seconds later.
        let script = "timeout 1.5 curl -sSN https://api.test/events";
        assert_eq!(border.shell(script).await, "data: events");
    });
}

#[test]
fn a_credential_ends_when_the_rules_or_the_phase_change() {
    with_credential(|border, placeholder| async move {
        let ask = format!("-H 'Authorization: Bearer {placeholder}' https://api.test/echo");
        assert!(border.curl(&ask).await.ends_with("200"));
        border.change(|policy| policy.phase = Phase::Setup);
        border.curl(&ask).await;
        border.change(|policy| {
            policy.phase = Phase::Agent;
            policy.injections.clear();
        });
        border.curl(&ask).await;
        let seen = border.world.seen.requests();
        assert_eq!(seen.iter().filter(|request| request.contains(SECRET)).count(), 1, "{seen:?}");
    });
}

#[test]
fn a_running_connection_loses_the_credential_as_well() {
    with_credential(|border, placeholder| async move {
        let (trusted, folder) = (border.trusted(), border.folder.path().to_owned());
        std::fs::write(
            folder.join("twice.py"),
            format!(
                "import http.client, ssl, sys\n\
                 c = http.client.HTTPSConnection('api.test', context=ssl.create_default_context(cafile={trusted:?}))\n\
                 def ask():\n    c.request('GET', '/echo', headers={{'Authorization': 'Bearer {placeholder}'}})\n    r = c.getresponse(); r.read(); print(r.status, flush=True)\n\
                 ask()\nopen('first', 'w').close()\n\
                 while not __import__('os').path.exists('go'): pass\n\
                 ask()\n"
            ),
        )
        .unwrap();
        let script = border.shell("python3 twice.py");
        let change = async {
            while !folder.join("first").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            border.change(|policy| policy.injections.clear());
            std::fs::write(folder.join("go"), "").unwrap();
        };
        let (said, ()) = tokio::join!(script, change);
        assert_eq!(said, "200\n403\n");
        assert_eq!(border.world.seen.requests().len(), 1);
    });
}

/// A WebSocket through the border: what the server said first, and its echo.
fn socket(
    at: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    authorization: String,
) -> Result<(String, String), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("api.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let mut request = "wss://api.test/socket".into_client_request().unwrap();
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        let (mut socket, _) =
            tokio_tungstenite::client_async(request, stream).await.map_err(|error| error.to_string())?;
        let first = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
        socket.send(Message::Text("it ends with s".into())).await.unwrap();
        let echo = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
        Ok((first, echo.unwrap().unwrap().into_text().unwrap().to_string()))
    })
}

#[test]
fn a_websocket_gets_the_credential_and_does_not_give_it_back() {
    with_credential(|border, placeholder| async move {
        let at = SocketAddr::from((border.look_up("api.test").await, 443));
        let roots = border.roots();
        let own = Arc::clone(&roots);
        let said = border.sandbox.run(move || socket(at, own, format!("Bearer {placeholder}"))).await;
        assert_eq!(said, Ok((format!("Bearer {}", "*".repeat(SECRET.len())), "it ends with s".to_owned())));
        assert!(border.world.seen.requests().join("").contains(SECRET));
        // Elsewhere's placeholder opens nothing.
        let other = border.credential("other.test", "another-s3cret-value");
        let said = border.sandbox.run(move || socket(at, roots, format!("Bearer {}", other.as_str()))).await;
        assert!(said.unwrap_err().contains("403"));
        assert!(HostName::parse("api.test").is_ok());
    });
}

/// Everything that is logged in this thread, at every level.
#[derive(Clone, Default)]
struct Logs(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_credential_is_logged_at_any_level() {
    with_credential(|border, placeholder| async move {
        let logs = Logs::default();
        let own = logs.clone();
        let listener = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || own.clone());
        let listening = tracing::subscriber::set_default(listener.finish());
        for version in ["--http1.1", "--http2"] {
            border.curl(&format!("{version} -u 'me:{placeholder}' https://api.test/leak/3")).await;
            border.curl(&format!("{version} -H 'X-Api-Key: {placeholder}' https://api.test/echo")).await;
        }
        drop(listening);
        let logged = String::from_utf8_lossy(&logs.0.lock().unwrap()).into_owned();
        assert!(logged.contains("api.test"), "something was logged");
        let encoded = STANDARD.encode(format!("me:{SECRET}"));
        for line in logged.lines() {
            assert!(!line.contains(SECRET) && !line.contains(&encoded), "{line}");
        }
    });
}
