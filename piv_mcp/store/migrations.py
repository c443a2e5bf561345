"""The tables, as numbered steps. Never edit a released step; add a new one."""

from piv_mcp.store.connection import Connection

# Times are seconds since the epoch (UTC); money is decimal text; JSON is text.
STEPS = (
    """
    CREATE TABLE events (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which we learnt of it; ids and cursors are this
        type        TEXT NOT NULL,
        subject     TEXT,               -- the number, order, domain or job that the event is about
        source      TEXT NOT NULL,      -- webhook, or history (found in the SMS history)
        sent_at     REAL,               -- the time that piv.day gives
        arrived_at  REAL NOT NULL,      -- the time on our clock at which it reached the account, as far as known
        digest      TEXT,               -- of the webhook's content; retries carry no id
        message_id  TEXT,               -- of an SMS, once the history has shown it
        sender      TEXT,               -- likewise
        text        TEXT,
        text_key    TEXT,               -- of an SMS: what webhook and history agree on
        code        TEXT,
        code_source TEXT,               -- api, or text (found by our extractor)
        payload     TEXT NOT NULL,      -- as it came
        problem     TEXT                -- why the payload was not understood, if it was not
    );
    CREATE INDEX events_digest ON events (digest) WHERE digest IS NOT NULL;
    CREATE INDEX events_message ON events (subject, message_id) WHERE message_id IS NOT NULL;
    CREATE INDEX events_text ON events (subject, text_key) WHERE text_key IS NOT NULL;
    CREATE INDEX events_subject ON events (subject, seq);
    CREATE INDEX events_type ON events (type, seq);
    CREATE INDEX events_codes ON events (arrived_at, seq) WHERE code IS NOT NULL;
    CREATE INDEX events_codes_subject ON events (subject, arrived_at, seq) WHERE code IS NOT NULL;
    CREATE INDEX events_messages ON events (subject, arrived_at, seq) WHERE text IS NOT NULL;

    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO facts (name, value) VALUES ('store:id', lower(hex(randomblob(8))));

    CREATE TABLE requests (at REAL NOT NULL, priority TEXT NOT NULL);
    CREATE INDEX requests_at ON requests (at);
    CREATE TABLE waiting (token TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE spending (
        seq          INTEGER PRIMARY KEY AUTOINCREMENT,
        id           TEXT NOT NULL UNIQUE,
        kind         TEXT NOT NULL,      -- the action, by its tool's name
        area         TEXT NOT NULL,
        arguments    TEXT NOT NULL,
        fingerprint  TEXT NOT NULL,      -- of kind and arguments: "the same action"
        state        TEXT NOT NULL,      -- see store/journal.py
        quote        TEXT NOT NULL,
        price        TEXT,               -- quoted; null when unknown
        quoted_at    REAL NOT NULL,
        expires_at   REAL NOT NULL,      -- of the quote, and so of an approval
        decided_at   REAL,
        decided_by   TEXT,               -- elicitation, page, terminal, budget
        before       TEXT,               -- what the API showed just before
        owner        TEXT,               -- the process that executes it
        sent_at      REAL,
        settled_at   REAL,
        charged      TEXT,
        result       TEXT,
        problem      TEXT,
        evidence     TEXT,
        reported     INTEGER NOT NULL DEFAULT 0  -- somebody was told how it ended
    );
    CREATE INDEX spending_fingerprint ON spending (fingerprint, seq);
    CREATE INDEX spending_state ON spending (state, seq);
    CREATE INDEX spending_decided ON spending (decided_by, decided_at);
    """,
    """
    CREATE TABLE watches (
        watcher    TEXT PRIMARY KEY,    -- one process's polling of one number
        number     TEXT NOT NULL,
        until      REAL NOT NULL,
        claimed_at REAL                 -- when it last began a poll
    ) WITHOUT ROWID;
    CREATE TABLE looks (number TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    -- what of the charge an event gave back, and that event
    ALTER TABLE spending ADD COLUMN refunded TEXT;
    ALTER TABLE spending ADD COLUMN refunded_by INTEGER;
    """,
    """
    CREATE TABLE questions (
        id          TEXT PRIMARY KEY,   -- one question that was put in a client's dialogue
        entry_id    TEXT NOT NULL,
        put_at      REAL NOT NULL,
        answered_at REAL                -- when its first answer came
    ) WITHOUT ROWID;
    """,
    """
    -- Whose a row is. What was stored before belongs to account 1, and that to the first key that comes.
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, user_id TEXT UNIQUE);
    INSERT INTO accounts (id) VALUES (1);
    CREATE TABLE keys (digest TEXT PRIMARY KEY, account INTEGER NOT NULL) WITHOUT ROWID;

    ALTER TABLE events ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE spending ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE questions ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE requests ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE waiting ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE watches ADD COLUMN account INTEGER NOT NULL DEFAULT 1;

    -- the time on our clock at which this store recorded it
    ALTER TABLE events ADD COLUMN stored_at REAL;
    -- as arrived_at, on piv.day's clock, where that was known
    ALTER TABLE events ADD COLUMN reached_at REAL;
    -- 0: arrived_at is not to be believed
    ALTER TABLE events ADD COLUMN age_known INTEGER NOT NULL DEFAULT 1;
    UPDATE events SET stored_at = arrived_at;
    INSERT INTO facts (name, value)
        SELECT 'webhook:received@1', max(arrived_at) FROM events WHERE source = 'webhook' HAVING count(*) > 0;

    ALTER TABLE looks RENAME TO looks_before;
    CREATE TABLE looks (
        account       INTEGER NOT NULL DEFAULT 1,
        number        TEXT NOT NULL,
        at            REAL NOT NULL,               -- when it began, on our clock
        remote_at     REAL,                        -- the same on piv.day's clock
        seq           INTEGER NOT NULL DEFAULT 0,  -- the last event then
        total         INTEGER,                     -- messages in the history
        erased_at     REAL,                        -- messages up to this time on piv.day's clock were erased
        failing_since REAL,                        -- on our clock, null after a look that succeeded
        problem       TEXT,
        PRIMARY KEY (account, number)
    ) WITHOUT ROWID;
    INSERT INTO looks (number, at) SELECT number, at FROM looks_before;
    DROP TABLE looks_before;

    DROP INDEX events_text;
    DROP INDEX events_message;
    DROP INDEX events_codes;
    DROP INDEX events_codes_subject;
    DROP INDEX events_messages;
    CREATE INDEX events_message ON events (subject, message_id, text_key) WHERE message_id IS NOT NULL;
    CREATE INDEX events_unconfirmed ON events (subject, text_key, sent_at)
        WHERE message_id IS NULL AND text_key IS NOT NULL;
    CREATE INDEX events_history ON events (subject, text_key, sent_at)
        WHERE digest IS NULL AND text_key IS NOT NULL;
    CREATE INDEX events_codes ON events (account, coalesce(reached_at, sent_at, arrived_at), seq)
        WHERE code IS NOT NULL;
    CREATE INDEX events_codes_subject ON events (subject, coalesce(reached_at, sent_at, arrived_at), seq)
        WHERE code IS NOT NULL;
    CREATE INDEX events_quiet ON events (account, seq) WHERE code IS NULL AND text IS NOT NULL;
    CREATE INDEX events_quiet_subject ON events (subject, type, seq) WHERE code IS NULL AND text IS NOT NULL;
    CREATE INDEX events_heard ON events (subject, seq) WHERE text IS NOT NULL;

    CREATE TABLE servers (
        owner      TEXT PRIMARY KEY,    -- one running process
        secret     TEXT NOT NULL,       -- the digest of its webhook secret
        port       INTEGER NOT NULL,    -- its webhook port; 0 for none
        inbox_days INTEGER NOT NULL,
        version    TEXT NOT NULL,
        started_at REAL NOT NULL,
        serving    INTEGER NOT NULL,    -- 1: it holds the port
        seen_at    REAL NOT NULL,
        account    INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- whose events an address brings: the first account that used the secret
    CREATE TABLE webhook_secrets (digest TEXT PRIMARY KEY, account INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    -- the last event when the first look at this history had ended; 0: that was before this column
    ALTER TABLE looks ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- how many messages that the number had just sent the look found in the history
    ALTER TABLE looks ADD COLUMN just_sent INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- found by asking: since when it can have happened, on our clock
    ALTER TABLE events ADD COLUMN asked_since REAL;
    CREATE INDEX events_asked ON events (account, type, seq) WHERE asked_since IS NOT NULL AND digest IS NULL;

    CREATE TABLE pending (
        account   INTEGER NOT NULL DEFAULT 1,
        kind      TEXT NOT NULL,
        id        TEXT NOT NULL,
        subject   TEXT,              -- the number that it is about
        facts     TEXT NOT NULL,     -- JSON: what else is known
        since     REAL NOT NULL,
        looked_at REAL,
        state     TEXT,              -- the word that the API had for it then
        PRIMARY KEY (account, kind, id)
    ) WITHOUT ROWID;
    """,
    """
    -- of an SMS without a code: the link in its text that signs in or confirms
    ALTER TABLE events ADD COLUMN link TEXT;
    DROP INDEX events_codes;
    DROP INDEX events_codes_subject;
    CREATE INDEX events_codes ON events (account, coalesce(reached_at, sent_at, arrived_at), seq)
        WHERE coalesce(code, link) IS NOT NULL;
    CREATE INDEX events_codes_subject ON events (subject, coalesce(reached_at, sent_at, arrived_at), seq)
        WHERE coalesce(code, link) IS NOT NULL;
    """,
    """
    -- requests are counted in a file of their own, which waits for no disk: see store/minute.py
    DROP TABLE requests;
    DROP TABLE waiting;
    DELETE FROM facts WHERE name GLOB 'requests:pause*';
    """,
    """
    -- who calls a server that many share
    CREATE TABLE agents (
        name             TEXT PRIMARY KEY,
        account          INTEGER NOT NULL,
        token            TEXT NOT NULL UNIQUE,  -- its digest
        added_at         REAL NOT NULL,
        subject          TEXT UNIQUE,           -- by which an identity provider knows it
        toolsets         TEXT,                  -- this and the following: null is as the account's settings say
        read_only        INTEGER NOT NULL,
        numbers_only     INTEGER NOT NULL,      -- 1: it sees no numbers but those of agent_numbers
        spend_mode       TEXT,
        auto_approve_max TEXT,
        daily_budget     TEXT,
        attended         INTEGER NOT NULL,
        revoked_at       REAL
    ) WITHOUT ROWID;
    CREATE TABLE agent_numbers (
        agent   TEXT NOT NULL,
        number  TEXT NOT NULL,
        account INTEGER NOT NULL,
        PRIMARY KEY (agent, number)
    ) WITHOUT ROWID;

    -- a number that one agent, or one process, has for itself alone
    CREATE TABLE number_leases (
        account      INTEGER NOT NULL,
        number       TEXT NOT NULL,
        holder       TEXT NOT NULL,     -- the agent's name, or the process
        since        REAL NOT NULL,     -- when it began, on our clock
        remote_since REAL,              -- the same on piv.day's clock
        seq          INTEGER NOT NULL,  -- the last event then
        until        REAL NOT NULL,
        PRIMARY KEY (account, number)
    ) WITHOUT ROWID;

    -- the agent that asked for it
    ALTER TABLE spending ADD COLUMN agent TEXT;
    """,
    """
    -- the people who decide on a server from anywhere; what is binary is text, in base64url
    CREATE TABLE operators (
        name       TEXT PRIMARY KEY,
        account    INTEGER NOT NULL,
        handle     TEXT NOT NULL UNIQUE,  -- what their passkeys call them
        added_at   REAL NOT NULL,
        revoked_at REAL
    ) WITHOUT ROWID;
    CREATE TABLE passkeys (
        id         TEXT PRIMARY KEY,
        operator   TEXT NOT NULL,
        account    INTEGER NOT NULL,
        public_key TEXT NOT NULL,
        sign_count INTEGER NOT NULL,      -- how often the passkey says it was used; 0: it does not count
        added_at   REAL NOT NULL,
        used_at    REAL,
        revoked_at REAL
    ) WITHOUT ROWID;
    CREATE INDEX passkeys_operator ON passkeys (operator);

    -- what an operator has begun, by a nonce that is good once
    CREATE TABLE ceremonies (
        nonce    TEXT PRIMARY KEY,        -- its digest
        kind     TEXT NOT NULL,           -- enrolment, registration, sign-in, approval
        ends_at  REAL NOT NULL,
        operator TEXT,
        session  TEXT,                    -- the digest of the cookie, or of the link
        entry    TEXT
    ) WITHOUT ROWID;
    CREATE INDEX ceremonies_ends ON ceremonies (ends_at);
    CREATE TABLE sessions (
        cookie   TEXT PRIMARY KEY,        -- its digest
        operator TEXT NOT NULL,
        began_at REAL NOT NULL,
        seen_at  REAL NOT NULL,
        ends_at  REAL NOT NULL
    ) WITHOUT ROWID;

    -- JSON: who decided, and the passkey's assertion
    ALTER TABLE spending ADD COLUMN proof TEXT;
    """,
    """
    -- by which a person reads through the inbox; `+ 0` keeps it from queries for which another index is better
    CREATE INDEX events_moment ON events ((account + 0), coalesce(reached_at, sent_at, arrived_at), seq);
    """,
    """
    -- what a person is told of where they are
    CREATE TABLE notices (
        account  INTEGER NOT NULL,
        event    TEXT NOT NULL,      -- what it is: approval, charge, expiry, ...
        subject  TEXT NOT NULL,      -- of what: an entry with its state, an event, ...
        address  TEXT NOT NULL,      -- the digest of the address
        found_at REAL NOT NULL,
        next_at  REAL NOT NULL,      -- when it is tried next
        tries    INTEGER NOT NULL,
        state    TEXT NOT NULL,      -- due, told, or over: it was decided before, or could not be told for a day
        facts    TEXT,               -- what its text is made of, if that stands nowhere else
        PRIMARY KEY (account, event, subject, address)
    ) WITHOUT ROWID;
    CREATE INDEX notices_due ON notices (account, address, next_at) WHERE state = 'due';
    """,
)


def migrate(connection: Connection) -> None:
    """Run the missing steps in one transaction. Any process may do this; only one at a time can."""
    if connection.count("PRAGMA user_version") >= len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.count("PRAGMA user_version")
        for step in STEPS[version:]:
            for statement in step.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {max(len(STEPS), version)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
