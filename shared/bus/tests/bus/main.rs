//! The bus on a real RabbitMQ (`UNIGATE_BROKER_URL`), each test in a namespace of its own.

mod consuming;
mod hostile;
mod lines;
mod proxy;
mod publishing;
mod raw;
mod stand;
mod topology;
