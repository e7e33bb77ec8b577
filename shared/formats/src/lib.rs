//! What registers look like: rows of payments as text, tables and workbooks, and back. Pure: it writes into what it is given.
