//! Reading the web: what the model is told of answers.

use async_trait::async_trait;
use bytes::Bytes;
use hangar_agent::{
    TurnEnd,
    web::{Web, WebReply},
};
use hangar_protocol::event::ToolStatus;
use serde_json::json;

use crate::world::World;

/// A few pages.
pub(crate) struct Pages;

#[async_trait]
impl Web for Pages {
    async fn get(&self, url: &str) -> Result<WebReply, String> {
        let reply = |status, kind: &str, body: &str| WebReply {
            status,
            kind: kind.to_owned(),
            location: None,
            body: Bytes::from(body.to_owned()),
            whole: true,
        };
        Ok(match url {
            "https://example.org/moved" => WebReply { location: Some("/docs".into()), ..reply(308, "", "") },
            "https://example.org/round" => WebReply { location: Some("/round".into()), ..reply(302, "", "") },
            "https://example.org/docs" => {
                reply(200, "text/html", "<title>Docs</title><h1>How</h1><p>Like <b>this</b>.")
            }
            "https://example.org/long" => reply(200, "text/plain", &"a line of words\n".repeat(20_000)),
            "https://example.org/none" => reply(404, "text/html", "<h1>Nothing here"),
            other => return Err(format!("This sandbox may not reach {other}.")),
        })
    }
}

#[tokio::test]
async fn pages_are_read_as_words_wherever_they_have_moved_to() {
    // One after the other: results come in the order in which they are there.
    let fetch = |url: &str| json!({"calls": [{"tool": "web_fetch", "input": {"url": url}}]});
    let urls = [
        "https://example.org/moved#part",
        "example.org/long",
        "https://example.org/none",
        "https://example.org/round",
        "https://intranet.test/",
        "file:///etc/passwd",
    ];
    let replies: Vec<_> = urls.into_iter().map(fetch).chain([json!({"say": "Read."})]).collect();
    let world = World::of(json!(replies)).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    assert_eq!(results[0].0, ToolStatus::Ok);
    assert!(results[0].1.starts_with("https://example.org/docs\nDocs\n"), "{}", results[0].1);
    assert!(results[0].1.ends_with("\n\n# How\n\nLike this."), "{}", results[0].1);
    // As every long output it is cut, and all of it is in a file.
    assert!(results[1].0 == ToolStatus::Ok && results[1].1.len() < 60 * 1024, "{results:?}");
    let faults: Vec<&str> = results[2..].iter().map(|(_, output)| output.as_str()).collect();
    assert_eq!(
        faults,
        [
            "https://example.org/none answered 404: # Nothing here",
            "https://example.org/round leads elsewhere more than 5 times.",
            "This sandbox may not reach https://intranet.test/.",
            "\"file:///etc/passwd\" is no address of a page.",
        ]
    );
    assert!(results[2..].iter().all(|(status, _)| *status == ToolStatus::Error));
}
