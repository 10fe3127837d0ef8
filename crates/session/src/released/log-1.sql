-- As hangar wrote it at version 1 of this schema. Never edited: a released version does not change.
BEGIN TRANSACTION;
CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;
INSERT INTO "event" VALUES(1,'{"seq":1,"time_ms":1000,"cause":{"by":"user","user":"ada"},"body":{"type":"session_created","session":"k3x9m2p7qrst","owner":{"user":"ada","name":"Ada Byron","email":"ada@example.org"},"repo":"acme/tiny","base_branch":"main","base_commit":"1111111111111111111111111111111111111111","branch":"hangar/k3x9m2p7qrst","model":"test/model","title":"Make it blue"}}');
INSERT INTO "event" VALUES(2,'{"seq":2,"time_ms":1001,"cause":{"by":"user","user":"ada"},"body":{"type":"prompt_added","prompt":1,"request_id":"one","author":"ada","text":"Make it blue, please"}}');
INSERT INTO "event" VALUES(3,'{"seq":3,"time_ms":1001,"cause":{"by":"user","user":"ada"},"body":{"type":"turn_started","turn":1,"prompt":1}}');
COMMIT;
PRAGMA user_version = 1;
