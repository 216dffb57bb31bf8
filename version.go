package yolk

// Version is yolk's, as a semantic version. It is part of an image's build information; between
// releases it ends with "-dev".
const Version = "v0.1.0-dev"
