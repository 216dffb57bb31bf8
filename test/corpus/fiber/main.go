// Command fiber greets over HTTP with fasthttp, which has its own connections and buffers.
package main

import (
	"log"

	"github.com/gofiber/fiber/v2"
)

func main() {
	app := fiber.New()
	app.Get("/hi/:name", func(c *fiber.Ctx) error { return c.SendString("hello " + c.Params("name")) })
	log.Fatal(app.Listen(":8080"))
}
