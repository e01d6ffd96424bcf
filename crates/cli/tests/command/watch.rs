//! `watch`, as a verb and in `batch`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, feed};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn watch_shows_what_was_committed_since_and_ends_when_asked() {
    let sandbox = Sandbox::with_documents();
    let log = lines(sandbox.run(&["--json", "log"]).text());
    let first = log[0]["txn"].to_string();
    let since =
        sandbox.run(&["--json", "watch", "--since", &first, "--count", "1", "--seconds", "9"]);
    assert_eq!((since.code, lines(since.text())), (0, vec![log[1].clone()]));
    assert_eq!(
        log[1]["changes"][0]["version"],
        sandbox.run(&["--json", "get", "dir/b.txt"]).json()["version"]
    );
    // Of two there is one only.
    let two = sandbox.run(&["watch", "--since", &first, "--count", "2", "--seconds", "0.1"]);
    assert_eq!(two.code, 1);
    assert!(two.text().contains("put     dir/b.txt  6"), "{}", two.text());
    sandbox.run(&["watch", "--seconds", "0"]).says("");
    sandbox.run(&["watch", "--since", "x"]).fails(2, "--since");
    let gap = sandbox.run(&["--json", "watch", "--since", "1000", "--count", "1"]);
    assert_eq!(lines(gap.text())[0]["gap"]["after"], 1000);
}

#[test]
fn watch_tells_of_a_commit_of_another_process_at_once() {
    let sandbox = Sandbox::with_documents();
    let since = lines(sandbox.run(&["--json", "log"]).text())[1]["txn"].to_string();
    let mut watch = sandbox
        .command(&["--json", "watch", "--since", &since, "--count", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut told = told.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(sandbox.run(&["rm", "a.json", "--note", "why"]).code, 0);
    let entry = told.next().unwrap();
    assert_eq!(entry["note"], "why");
    assert_eq!(entry["changes"], json!([{"op": "remove", "path": "a.json"}]));
    sandbox.put("a.json", "{}\n").says("");
    assert_eq!(told.next().unwrap()["changes"][0]["op"], "put");
    assert_eq!(told.next(), None);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn batch_watches_beside_its_transactions_and_goes_on_where_it_was() {
    let sandbox = Sandbox::with_documents();
    let log = lines(sandbox.run(&["--json", "log"]).text());
    let first = &log[0]["txn"];
    let input = format!(
        "{{\"op\":\"watch\",\"since\":{first}}}\n\
         {{\"op\":\"watch\",\"seconds\":0}}\n\
         {{\"op\":\"begin\"}}\n\
         {{\"op\":\"put\",\"path\":\"x\",\"text\":\"y\"}}\n\
         {{\"op\":\"watch\",\"seconds\":0}}\n\
         {{\"op\":\"commit\"}}\n\
         {{\"op\":\"watch\"}}\n\
         {{\"op\":\"watch\",\"since\":99999}}\n\
         {{\"op\":\"watch\",\"seconds\":\"x\"}}\n"
    );
    let ran = feed(sandbox.command(&["batch"]), input.as_bytes());
    let answers = lines(ran.text());
    assert_eq!(answers[0]["txn"], log[1]["txn"]);
    let quiet = json!({"ok": true, "txn": null});
    assert_eq!((&answers[1], &answers[4]), (&quiet, &quiet));
    assert_eq!(answers[6]["txn"], answers[5]["txn"]);
    assert_eq!(answers[6]["changes"][0]["path"], "x");
    assert_eq!(answers[7]["gap"]["after"], 99_999);
    assert_eq!((ran.code, &answers[8]["error"]), (2, &json!("usage")));
}

#[test]
fn watch_ends_when_its_time_is_over_also_beside_commits_without_end() {
    let sandbox = Sandbox::with_documents();
    let mut watch = sandbox
        .command(&["--json", "watch", "--seconds", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    // More than fits into the pipe, which nobody reads until the time is over.
    let note = "n".repeat(8_000);
    let begin = "{\"op\":\"begin\"}\n{\"op\":\"put\",\"path\":\"x\",\"text\":\"y\"}\n";
    let commit = format!("{{\"op\":\"commit\",\"note\":\"{note}\"}}\n");
    let ran = feed(sandbox.command(&["batch"]), format!("{begin}{commit}").repeat(40).as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let told = BufReader::new(watch.stdout.take().unwrap()).lines().count();
    assert!((1..30).contains(&told), "{told}");
    assert!(watch.wait().unwrap().success());
    // What was there before is shown, however short the time is.
    let all = sandbox.run(&["--json", "watch", "--since", "0", "--seconds", "0"]);
    assert!(lines(all.text()).len() > 40);
}

#[test]
fn batch_does_not_watch_in_an_aborted_transaction() {
    let sandbox = Sandbox::with_documents();
    let input = "{\"op\":\"begin\"}\n{\"op\":\"remove\",\"path\":\"none\"}\n\
                 {\"op\":\"watch\",\"since\":0}\n{\"op\":\"rollback\"}\n\
                 {\"op\":\"watch\",\"seconds\":0}\n";
    let answers = lines(feed(sandbox.command(&["batch"]), input.as_bytes()).text());
    assert_eq!(answers[2]["error"], "aborted");
    assert_eq!(answers[4], json!({"ok": true, "txn": null}));
}
