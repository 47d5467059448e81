//! `weir script` as a user runs it, against a gateway of which only the wire is real.

use std::{
    net::SocketAddr,
    process::Output,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, process::Command};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use weir_proto::observe::v1::{
    Category, ListScriptsRequest, ListScriptsResponse, LoadScriptRequest, LoadScriptResponse,
    Script, ScriptNamespace, ScriptStats, UnloadScriptRequest, UnloadScriptResponse,
    scripts_server::{Scripts, ScriptsServer},
};

/// What was asked for.
#[derive(Default)]
struct Asked {
    loaded: Vec<LoadScriptRequest>,
    unloaded: Vec<UnloadScriptRequest>,
}

struct Service(Arc<Mutex<Asked>>);

#[tonic::async_trait]
impl Scripts for Service {
    async fn list_scripts(
        &self,
        _request: Request<ListScriptsRequest>,
    ) -> Result<Response<ListScriptsResponse>, Status> {
        let script = |name: &str, namespace: ScriptNamespace, runs, mistake: &str| Script {
            category: Category::Network.into(),
            name: name.to_owned(),
            namespace: namespace.into(),
            runs,
            mistake: mistake.to_owned(),
            updated_unix_nano: 1,
            stats: Some(ScriptStats {
                points: 10,
                edited: 5,
                dropped: 2,
                emitted: 1,
                errors: 3,
                last_error: "line 1, column 2: no number".to_owned(),
                last_error_unix_nano: 1,
                nanoseconds: 25_000,
            }),
        };
        let scripts = vec![
            script("netflow", ScriptNamespace::Local, true, "line 2\n  ^ here"),
            script("netflow", ScriptNamespace::Shipped, false, ""),
        ];
        Ok(Response::new(ListScriptsResponse { scripts }))
    }

    async fn load_script(
        &self,
        request: Request<LoadScriptRequest>,
    ) -> Result<Response<LoadScriptResponse>, Status> {
        let request = request.into_inner();
        if request.source == "broken" {
            return Err(Status::invalid_argument("it does not compile\n ^^^"));
        }
        self.0.lock().expect("a lock").loaded.push(request);
        Ok(Response::new(LoadScriptResponse {}))
    }

    async fn unload_script(
        &self,
        request: Request<UnloadScriptRequest>,
    ) -> Result<Response<UnloadScriptResponse>, Status> {
        let mut asked = self.0.lock().expect("a lock");
        asked.unloaded.push(request.into_inner());
        Ok(Response::new(UnloadScriptResponse {}))
    }
}

async fn gateway() -> (SocketAddr, Arc<Mutex<Asked>>) {
    let asked = Arc::default();
    let service = ScriptsServer::new(Service(Arc::clone(&asked)));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(any).await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let incoming = TcpIncoming::from(listener);
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, asked)
}

async fn weir(arguments: &[&str], gateway: SocketAddr) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("script")
        .args(arguments)
        .args(["--gateway", &gateway.to_string()])
        .output()
        .await
        .expect("the command")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn the_list_says_what_runs_and_why_not() {
    let (gateway, _) = gateway().await;
    let output = weir(&["list"], gateway).await;
    assert!(output.status.success());
    let wanted = "\
CATEGORY  NAME     NAMESPACE  STATE
network   netflow  local      runs as it was before the mistake
network   netflow  shipped    hidden by another namespace

network/netflow: line 2
  ^ here
";
    assert_eq!(text(&output.stdout), wanted);
}

#[tokio::test]
async fn the_stats_say_what_every_script_has_done() {
    let (gateway, _) = gateway().await;
    let output = weir(&["stats"], gateway).await;
    assert!(output.status.success());
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "network", "netflow", "local", "10", "5", "2", "1", "3", "2500"
        ]
    );
    assert!(lines.contains(&"network/netflow: line 1, column 2: no number"));
}

#[tokio::test]
async fn a_script_is_loaded_under_the_name_of_its_file_and_unloaded_again() {
    let (gateway, asked) = gateway().await;
    let file = std::env::temp_dir().join(format!("weir-cart.{}.vrl", std::process::id()));
    let name = format!("weir-cart.{}", std::process::id());
    std::fs::write(&file, ".tags.a = \"1\"").expect("a file");
    let path = file.to_str().expect("text");
    let output = weir(&["load", path, "--category", "tracing"], gateway).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), format!("loaded {name}\n"));
    let output = weir(&["unload", &name, "-c", "tracing"], gateway).await;
    assert!(output.status.success(), "{output:?}");
    {
        let asked = asked.lock().expect("a lock");
        assert_eq!(asked.loaded[0].name, name);
        assert_eq!(asked.loaded[0].category(), Category::Tracing);
        assert_eq!(asked.loaded[0].source, ".tags.a = \"1\"");
        assert_eq!(asked.unloaded[0].name, name);
    }

    std::fs::write(&file, "broken").expect("a file");
    let output = weir(&["load", path, "-c", "network", "--name", "x"], gateway).await;
    std::fs::remove_file(&file).expect("a file");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("refused: it does not compile\n ^^^"),
        "{error}"
    );
}
