package ask

var Serve = serve
