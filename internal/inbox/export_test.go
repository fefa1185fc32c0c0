package inbox

// PageQuery is what reads a page.
const PageQuery = pageQuery
