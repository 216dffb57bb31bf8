// Command echo greets over HTTP with the echo framework and its middleware.
package main

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

func main() {
	e := echo.New()
	e.Use(middleware.Logger(), middleware.Recover(), middleware.Gzip())
	e.GET("/hi/:name", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"hello": c.Param("name")})
	})
	e.Logger.Fatal(e.Start(":8080"))
}
