CREATE TABLE items (
    id    text PRIMARY KEY,
    shelf int  NOT NULL UNIQUE,
    name  text NOT NULL,
    story text NOT NULL,
    cents int  NOT NULL CHECK (cents > 0)
);

INSERT INTO items (id, shelf, name, story, cents) VALUES
    ('rope',    1, 'Hemp rope',     'Ten fathoms, three strands, smells of tar.',         1250),
    ('lantern', 2, 'Brass lantern', 'Burns eight hours and minds no weather.',            4800),
    ('biscuit', 3, 'Ship''s biscuit', 'A dozen. Keeps for years; tap before eating.',      390),
    ('compass', 4, 'Dry compass',   'Thirty-two points, one of them north.',              7600),
    ('hammock', 5, 'Hammock',       'Canvas, with clews. Sleeps one, or two good friends.', 3200),
    ('parrot',  6, 'Wooden parrot', 'Says nothing, and means it.',                        1900);

CREATE TABLE orders (
    id       text        PRIMARY KEY,
    item     text        NOT NULL REFERENCES items,
    quantity int         NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    status   text        NOT NULL CHECK (status IN ('waiting', 'packing', 'shipped')),
    placed   timestamptz NOT NULL
);
CREATE INDEX orders_by_time ON orders (placed DESC);
