//! The real weir, as a child process on free ports, between raw clients and scripted upstreams. Every promise about streams is a
//! test that sees a byte before the upstream has sent the next one; every refusal is asserted on its status, its headers and
//! its series in `/metrics`. Tests wait for conditions, never for time to pass.

mod http2_server;
mod stage;

mod cases {
    mod accounts;
    mod ai_endpoint;
    mod answers;
    mod audit;
    mod certificates;
    mod deployments;
    mod dying;
    mod edge_clients;
    mod edge_compress;
    mod edge_cors;
    mod edge_peers;
    mod edge_redirect;
    mod floods;
    mod frames;
    mod http2;
    mod http2_answers;
    mod http2_floods;
    mod http2_limits;
    mod http2_matrix;
    mod http2_secure;
    mod http2_tunnels;
    mod http2_upstream;
    mod identity_access;
    mod identity_keys;
    mod identity_places;
    mod identity_smuggling;
    mod leaving;
    mod life;
    mod lingering;
    mod many;
    mod quota_deployment;
    mod quota_outage;
    mod quota_rules;
    mod quota_shared;
    mod quota_tokens;
    mod refusals;
    mod retries;
    mod routing;
    mod secure_streams;
    mod secure_upstreams;
    mod streams;
    mod tls;
    mod uploads;
    mod websocket;
    mod wire;
}
