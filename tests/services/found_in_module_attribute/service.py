# service: service:app.impl.Impl
import app.impl
