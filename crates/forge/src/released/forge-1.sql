-- As hangar wrote it at version 1 of this schema. Never edited: a released version does not change.
BEGIN TRANSACTION;
CREATE TABLE changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  number INTEGER,                -- of the pull request, where the change is of one
  actor_id INTEGER REFERENCES people(id),
  at_ms INTEGER NOT NULL,
  body TEXT NOT NULL             -- JSON of `ChangeKind`
);
CREATE TABLE check_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  sha TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed')),
  conclusion TEXT,
  details_url TEXT,
  external_id TEXT,
  title TEXT,
  summary TEXT,
  started_ms INTEGER NOT NULL,
  completed_ms INTEGER
);
CREATE TABLE comments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pull_id INTEGER NOT NULL REFERENCES pulls(id),
  person_id INTEGER NOT NULL REFERENCES people(id),
  body TEXT NOT NULL,
  created_ms INTEGER NOT NULL
);
CREATE TABLE owners (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  login TEXT NOT NULL UNIQUE COLLATE NOCASE
);
INSERT INTO "owners" VALUES(1,'acme');
CREATE TABLE people (            -- as last seen by the door; the server owns the users
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL,
  email TEXT NOT NULL
);
INSERT INTO "people" VALUES(1,'ada','Ada Byron','ada@example.org');
CREATE TABLE pulls (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  number INTEGER NOT NULL,
  title TEXT NOT NULL,
  body TEXT,
  draft INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  author_id INTEGER NOT NULL REFERENCES people(id),
  head_branch TEXT NOT NULL,
  head_sha TEXT NOT NULL,
  base_branch TEXT NOT NULL,
  base_sha TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  merged_ms INTEGER,
  merged_by INTEGER REFERENCES people(id),
  merge_sha TEXT,
  intent_sha TEXT,               -- a merge that has begun: the commit that base is about to become
  intent_by INTEGER REFERENCES people(id),
  UNIQUE (repo_id, number)
);
CREATE TABLE repos (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE,
  description TEXT,
  default_branch TEXT NOT NULL,
  next_number INTEGER NOT NULL DEFAULT 1,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  pushed_ms INTEGER NOT NULL,
  UNIQUE (owner, name)
);
INSERT INTO "repos" VALUES(1,'acme','tiny',NULL,'main',1,1,2,3);
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pull_id INTEGER NOT NULL REFERENCES pulls(id),
  person_id INTEGER NOT NULL REFERENCES people(id),
  state TEXT NOT NULL CHECK (state IN ('APPROVED', 'CHANGES_REQUESTED', 'COMMENTED')),
  body TEXT NOT NULL,
  sha TEXT NOT NULL,
  submitted_ms INTEGER NOT NULL
);
CREATE TABLE statuses (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  sha TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('error', 'failure', 'pending', 'success')),
  context TEXT NOT NULL,
  description TEXT,
  target_url TEXT,
  person_id INTEGER NOT NULL REFERENCES people(id),
  created_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX one_open_pull ON pulls(repo_id, head_branch, base_branch) WHERE state = 'open';
CREATE INDEX reviews_of_pull ON reviews(pull_id);
CREATE INDEX comments_of_pull ON comments(pull_id);
CREATE INDEX statuses_of_commit ON statuses(repo_id, sha);
CREATE INDEX check_runs_of_commit ON check_runs(repo_id, sha);
COMMIT;
PRAGMA user_version = 1;
