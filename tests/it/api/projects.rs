//! A token that is bound to one project: what belongs to another is not there.

use hookward::domain::NewEvent;
use hookward::store::Store;
use http::Method;

use super::fixture::{DEAD, Fixture, SHOP_ADMIN, SHOP_VIEWER, event, settled};
use crate::support::Reply;

/// An event of this project.
fn of(fixture: &Fixture, project: &str, id: &str) -> NewEvent {
    NewEvent { project: project.into(), ..event(&fixture.clock, id, "payment.failed") }
}

async fn ask(fixture: &Fixture, method: Method, path: &str, token: &str) -> Reply {
    fixture.ask(method, path, &[("authorization", &format!("Bearer {token}"))]).await
}

fn ids(reply: &Reply) -> Vec<String> {
    let rows = reply.json()["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn lists_show_the_own_project_and_foreign_ids_are_not_there() {
    let fixture = Fixture::new().await;
    let mut own = Vec::new();
    let mut foreign = Vec::new();
    for number in 0..6 {
        let (project, ids) = match number % 3 {
            0 => ("shop", &mut own),
            1 => ("bank", &mut foreign),
            _ => ("default", &mut foreign),
        };
        ids.push(fixture.admit(of(&fixture, project, &format!("sender-{number}")), &["crm"]).await.to_string());
    }
    own.reverse();
    let mut deliveries = (Vec::new(), Vec::new());
    for claim in fixture.claim("crm").await {
        let of_own = own.contains(&claim.event.id.to_string());
        if of_own { &mut deliveries.0 } else { &mut deliveries.1 }.push(claim.id.to_string());
        fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"", DEAD));
    }

    let get = async |path: &str| ask(&fixture, Method::GET, path, SHOP_VIEWER).await;
    assert_eq!(ids(&get("/v1/events").await), own);
    assert_eq!(ids(&get("/v1/events?limit=1").await).len(), 1);
    assert_eq!(ids(&get("/v1/events?source_event_id=sender-1").await), Vec::<String>::new());
    assert_eq!(ids(&get("/v1/deliveries?status=dead").await).len(), own.len());
    assert_eq!(ids(&get(&format!("/v1/deliveries?event={}", foreign[0])).await), Vec::<String>::new());
    for key in own.iter().chain([&"sender-0".to_owned()]) {
        assert_eq!(get(&format!("/v1/events/{key}")).await.status, 200, "{key}");
        assert_eq!(get(&format!("/v1/events/{key}/body")).await.status, 200, "{key}");
    }
    let unknown = get("/v1/events/evt_01kb9w3v1m000000000000000000").await;
    for key in foreign.iter().chain([&"sender-1".to_owned(), &"sender-2".to_owned()]) {
        for path in [format!("/v1/events/{key}"), format!("/v1/events/{key}/body")] {
            let reply = get(&path).await;
            assert_eq!((reply.status, &reply.body), (404, &unknown.body), "as if it were nowhere: {path}");
        }
        let replay = ask(&fixture, Method::POST, &format!("/v1/events/{key}/replay"), SHOP_ADMIN).await;
        assert_eq!((replay.status, &replay.body), (404, &unknown.body), "{key}");
    }
    for (ids, expected) in [(&deliveries.0, 200), (&deliveries.1, 404)] {
        assert!(!ids.is_empty());
        for id in ids {
            assert_eq!(get(&format!("/v1/deliveries/{id}")).await.status, expected, "{id}");
        }
    }
    for verb in ["redeliver", "cancel"] {
        for id in &deliveries.1 {
            let reply = ask(&fixture, Method::POST, &format!("/v1/deliveries/{id}/{verb}"), SHOP_ADMIN).await;
            assert_eq!((reply.status, &reply.body), (404, &unknown.body), "{verb} {id}");
        }
    }
    assert_eq!(fixture.claim("crm").await.len(), 0, "nothing of another project was sent again");
    let path = format!("/v1/deliveries/{}/redeliver", deliveries.0[0]);
    assert_eq!(ask(&fixture, Method::POST, &path, SHOP_ADMIN).await.status, 202);
    assert_eq!(fixture.claim("crm").await.len(), 1, "but what is its own");
}

#[tokio::test]
async fn what_belongs_to_no_project_is_hidden() {
    let fixture = Fixture::new().await;
    for path in ["/v1/sources", "/v1/destinations", "/v1/rejections", "/v1/rejections/x", "/v1/stats"] {
        let reply = ask(&fixture, Method::GET, path, SHOP_ADMIN).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "project_not_allowed"), "{path}");
    }
}
