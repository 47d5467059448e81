//! The command as a user runs it, against a gateway of which only the wire is real.

use std::{
    net::SocketAddr,
    pin::Pin,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use weir_proto::observe::v1::{
    Category, Field, List, Lost, Map, Point, PointBatch, Resource, Scope, SubscribeRequest,
    SubscribeResponse, Tag,
    field::Value,
    observe_server::{Observe, ObserveServer},
    subscribe_response::Message,
};

const PATIENCE: Duration = Duration::from_secs(20);

type Outgoing = Result<SubscribeResponse, Status>;

/// A gateway that sends what a test tells it to, to its one subscriber.
struct Gateway {
    address: SocketAddr,
    responses: Option<mpsc::Sender<Outgoing>>,
    asked: mpsc::Receiver<SubscribeRequest>,
}

struct Service {
    responses: Mutex<Option<mpsc::Receiver<Outgoing>>>,
    asked: mpsc::Sender<SubscribeRequest>,
}

#[tonic::async_trait]
impl Observe for Service {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Outgoing> + Send>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let responses = self.responses.lock().expect("a lock").take();
        let responses =
            responses.ok_or_else(|| Status::resource_exhausted("too many subscribers"))?;
        self.asked.send(request.into_inner()).await.expect("a test");
        let responses = stream::unfold(responses, async |mut responses| {
            Some((responses.recv().await?, responses))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

impl Gateway {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (responses, outgoing) = mpsc::channel(64);
        let (asked, requests) = mpsc::channel(1);
        let service = Service {
            responses: Mutex::new(Some(outgoing)),
            asked,
        };
        let server = Server::builder().add_service(ObserveServer::from_arc(Arc::new(service)));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self {
            address,
            responses: Some(responses),
            asked: requests,
        }
    }

    async fn send(&self, message: Message) {
        let message = Some(message);
        let responses = self.responses.as_ref().expect("an open stream");
        responses
            .send(Ok(SubscribeResponse { message }))
            .await
            .expect("a subscriber");
    }

    async fn send_points(&self, points: Vec<Point>) {
        self.send(Message::Batch(PointBatch { points })).await;
    }

    async fn fail(&self, status: Status) {
        let responses = self.responses.as_ref().expect("an open stream");
        responses.send(Err(status)).await.expect("a subscriber");
    }

    /// The command with these arguments, running against this gateway.
    fn weir(&self, arguments: &[&str]) -> Weir {
        self.run("flows", arguments)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Weir {
        let gateway = self.address.to_string();
        Weir::start(&[&[command, "--gateway", &gateway], arguments].concat())
    }
}

struct Weir {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Weir {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the command");
        let stdout = child.stdout.take().expect("a pipe");
        Self {
            child,
            stdout: BufReader::new(stdout).lines(),
        }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.stdout.next_line())
            .await
            .expect("a line in time");
        line.expect("text").expect("a line")
    }

    /// The exit status and what is left of standard output and standard error.
    async fn end(mut self) -> (ExitStatus, String, String) {
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let rest = async {
            let (mut out, mut err) = (String::new(), String::new());
            while let Some(line) = self.stdout.next_line().await.expect("text") {
                out.push_str(&line);
                out.push('\n');
            }
            stderr.read_to_string(&mut err).await.expect("text");
            (self.child.wait().await.expect("an end"), out, err)
        };
        timeout(PATIENCE, rest).await.expect("an end in time")
    }

    async fn interrupt(&self) {
        let id = self.child.id().expect("a running child").to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().await;
        assert!(kill.expect("kill").success());
    }
}

fn point() -> Point {
    let tag = |key: &str, value: &str| Tag {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let field = |key: &str, value| Field {
        key: key.to_owned(),
        value: Some(value),
    };
    Point {
        name: "netflow".to_owned(),
        time_unix_nano: 1_700_000_010_123_456_789,
        tags: vec![tag("process_name", "a \"b\"\n"), tag("src_ip", "10.0.0.1")],
        fields: vec![
            field("bytes_read", Value::Int(i64::MAX)),
            field("rtt", Value::Float(1.5)),
            field("tls", Value::Bool(true)),
        ],
        ..Point::default()
    }
}

#[tokio::test]
async fn json_is_one_point_a_line_with_every_digit() {
    let mut gateway = Gateway::start().await;
    let filters = [
        "-o",
        "json",
        "--filter",
        "host=a",
        "--filter",
        "process_name=b=c",
    ];
    let mut weir = gateway.weir(&filters);
    let asked = gateway.asked.recv().await.expect("a request").filters;
    let asked: Vec<_> = asked
        .iter()
        .map(|f| (f.key.as_str(), f.value.as_str()))
        .collect();
    assert_eq!(asked, [("host", "a"), ("process_name", "b=c")]);

    gateway.send_points(vec![point(), point()]).await;
    let wanted = r#"{"name":"netflow","time":1700000010123456789,"tags":{"process_name":"a \"b\"\n","src_ip":"10.0.0.1"},"fields":{"bytes_read":9223372036854775807,"rtt":1.5,"tls":true}}"#;
    assert_eq!(weir.line().await, wanted);
    assert_eq!(weir.line().await, wanted);
}

fn field(key: &str, value: Option<Value>) -> Field {
    Field {
        key: key.to_owned(),
        value,
    }
}

fn span() -> Point {
    let string = |text: &str| Some(Value::String(text.to_owned()));
    let map = Map {
        fields: vec![
            field("none", None),
            field("bytes", Some(Value::Bytes(vec![1, 0xff]))),
        ],
    };
    let list = List {
        values: vec![
            field("", Some(Value::Int(-1))),
            field("", Some(Value::Map(map))),
        ],
    };
    Point {
        category: Category::Tracing.into(),
        name: "GET /\u{1b}[2J".to_owned(),
        time_unix_nano: 1_700_000_010_123_456_789,
        start_time_unix_nano: 1_700_000_010_000_000_000,
        tags: vec![],
        fields: vec![
            field("kind", string("server")),
            field("duration", Some(Value::Int(123_456_789))),
            field("trace_id", string("0af7651916cd43dd8448eb211c80319c")),
            field("events", Some(Value::List(list))),
        ],
        resource: Some(Resource {
            attributes: vec![field("service.name", string("cart"))],
            dropped_attributes_count: 1,
            schema_url: "u".to_owned(),
        }),
        scope: Some(Scope {
            name: "shop".to_owned(),
            ..Scope::default()
        }),
    }
}

#[tokio::test]
async fn a_span_is_printed_with_its_resource_and_scope() {
    let mut gateway = Gateway::start().await;
    let filter = [
        "-c",
        "tracing",
        "-o",
        "json",
        "--filter",
        "resource.service.name=cart",
    ];
    let mut weir = gateway.run("points", &filter);
    let asked = gateway.asked.recv().await.expect("a request");
    assert_eq!(asked.categories, [i32::from(Category::Tracing)]);
    assert_eq!(asked.filters[0].key, "resource.service.name");
    gateway.send_points(vec![span()]).await;
    let wanted = r#"{"category":"tracing","name":"GET /\u001b[2J","time":1700000010123456789,"tags":{},"fields":{"duration":123456789,"events":[-1,{"bytes":"01ff","none":null}],"kind":"server","trace_id":"0af7651916cd43dd8448eb211c80319c"},"start":1700000010000000000,"resource":{"attributes":{"service.name":"cart"},"dropped_attributes_count":1,"schema_url":"u"},"scope":{"attributes":{},"dropped_attributes_count":0,"name":"shop","schema_url":"","version":""}}"#;
    assert_eq!(weir.line().await, wanted);
}

#[tokio::test]
async fn each_category_has_a_table_of_its_own() {
    let mut log = span();
    log.fields = vec![
        field("severity_number", Some(Value::Int(17))),
        field("body", Some(Value::String("it is\ngone".to_owned()))),
    ];
    let mut histogram = span();
    histogram.name = "latency".to_owned();
    histogram.tags = vec![Tag {
        key: "route".to_owned(),
        value: "/a".to_owned(),
    }];
    histogram.fields = vec![
        field("type", Some(Value::String("histogram".to_owned()))),
        field("count", Some(Value::Int(7))),
        field("sum", Some(Value::Float(1.5))),
        field("unit", Some(Value::String("s".to_owned()))),
    ];
    for (category, point, titles, cells) in [
        (
            "tracing",
            span(),
            vec![
                "TIME", "UTC", "SERVICE", "KIND", "DURATION", "STATUS", "TRACE", "NAME",
            ],
            vec![
                "22:13:30",
                "cart",
                "server",
                "123",
                "ms",
                "-",
                "0af7651916cd43dd8448eb211c80319c",
                "GET",
                r"/\u{1b}[2J",
            ],
        ),
        (
            "logging",
            log,
            vec!["TIME", "UTC", "SERVICE", "SEVERITY", "EVENT", "BODY"],
            vec![
                "22:13:30",
                "cart",
                "ERROR",
                "GET",
                r"/\u{1b}[2J",
                "it",
                r"is\ngone",
            ],
        ),
        (
            "metric",
            histogram,
            vec![
                "TIME", "UTC", "SERVICE", "METRIC", "TYPE", "VALUE", "UNIT", "TAGS",
            ],
            vec![
                "22:13:30",
                "cart",
                "latency",
                "histogram",
                "7",
                "Σ",
                "1.5",
                "s",
                "route=/a",
            ],
        ),
    ] {
        let gateway = Gateway::start().await;
        let mut weir = gateway.run("points", &["--category", category]);
        gateway.send_points(vec![point]).await;
        let words =
            |line: String| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        assert_eq!(words(weir.line().await), titles, "{category}");
        assert_eq!(words(weir.line().await), cells, "{category}");
    }
}

#[tokio::test]
async fn a_table_begins_with_its_header() {
    let gateway = Gateway::start().await;
    let mut weir = gateway.weir(&[]);
    gateway.send_points(vec![point()]).await;
    assert!(weir.line().await.starts_with("TIME UTC  HOST"));
    assert!(weir.line().await.starts_with("22:13:30  -  "));
}

#[tokio::test]
async fn losses_are_told_beside_the_output() {
    let mut gateway = Gateway::start().await;
    let weir = gateway.weir(&["-o", "json"]);
    gateway.send(Message::Lost(Lost { points: 17 })).await;
    gateway.send_points(vec![point()]).await;
    gateway.responses = None;
    let (status, out, err) = weir.end().await;
    assert!(err.starts_with("17 points lost: "), "{err}");
    assert_eq!(out.lines().count(), 1);
    assert!(err.contains("ended the stream"), "{err}");
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error() {
    let gateway = Gateway::start().await;
    let weir = gateway.weir(&[]);
    gateway.fail(Status::unavailable("on purpose")).await;
    let (status, _, err) = weir.end().await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("lost: on purpose"), "{err}");
    assert!(err.contains(&gateway.address.to_string()), "{err}");
}

#[tokio::test]
async fn without_a_gateway_the_message_says_where_it_was_sought() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket").to_string();
    drop(listener);
    let (status, out, err) = Weir::start(&["flows", "--gateway", &address]).end().await;
    assert_eq!((status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains(&address) && err.contains("refused"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[tokio::test]
async fn a_refused_subscription_is_explained_by_the_gateway() {
    let mut gateway = Gateway::start().await;
    let _first = gateway.weir(&[]);
    gateway.asked.recv().await.expect("a request");
    let (status, _, err) = gateway.weir(&[]).end().await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("too many subscribers"), "{err}");
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    for (arguments, named) in [
        (["flows", "--filter", "port"], "KEY=VALUE"),
        (["flows", "--gateway", "nowhere"], "HOST:PORT"),
        (["flows", "--output", "xml"], "xml"),
        (["flows", "--nothing", ""], "--nothing"),
        (["points", "--category", "flows"], "tracing"),
        (["points", "--output", "json"], "--category"),
    ] {
        let (status, _, err) = Weir::start(&arguments).end().await;
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert!(err.contains(named), "{err}");
    }
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_error() {
    let mut gateway = Gateway::start().await;
    let mut weir = gateway.weir(&["-o", "json"]);
    gateway.asked.recv().await.expect("a request");
    gateway.send_points(vec![point()]).await;
    weir.line().await;
    let Weir { mut child, stdout } = weir;
    drop(stdout);
    gateway.send_points(vec![point()]).await;
    let status = timeout(PATIENCE, child.wait())
        .await
        .expect("an end in time")
        .expect("an end");
    assert_eq!(status.code(), Some(0));
    let mut err = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut err).await.expect("text");
    assert_eq!(err, "");
}

#[tokio::test]
async fn an_interrupt_ends_it_quietly_even_when_nobody_reads() {
    let mut gateway = Gateway::start().await;
    let mut weir = gateway.weir(&["-o", "json"]);
    gateway.asked.recv().await.expect("a request");
    gateway.send_points(vec![point()]).await;
    weir.line().await;
    // More than a pipe holds, so that the command is stuck in a write.
    gateway.send_points(vec![point(); 10_000]).await;
    weir.interrupt().await;
    let status = timeout(PATIENCE, weir.child.wait())
        .await
        .expect("an end in time");
    assert_eq!(status.expect("an end").code(), Some(0));
}
