mod schema;
mod table;
