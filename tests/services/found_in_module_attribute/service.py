# service: service:app.impl.Impl
# unknown: service
import app.impl
