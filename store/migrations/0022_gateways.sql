-- Which gateway a device hangs on, where its own name does not say so (`<gateway>.<name>`).
CREATE TABLE device_gateways (
    facility TEXT NOT NULL REFERENCES facilities (id),
    device   TEXT NOT NULL,
    gateway  TEXT NOT NULL,
    PRIMARY KEY (facility, device)
);

CREATE INDEX devices_of_gateway ON device_gateways (facility, gateway);
