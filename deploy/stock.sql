-- The participant of deploy/sagas/booking.py. PostgreSQL's image runs this once, when its volume is empty.
CREATE DATABASE stock;
\connect stock
CREATE TABLE stock (item text PRIMARY KEY, free integer NOT NULL CHECK (free >= 0));
CREATE TABLE bookings (request text PRIMARY KEY, item text NOT NULL REFERENCES stock, quantity integer NOT NULL);
INSERT INTO stock VALUES ('lamp', 10), ('chair', 4);
